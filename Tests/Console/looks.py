"""Whether a page can be used by everybody: labels, headings, contrast, focus. One script that the browser runs."""

# Gives a list of sentences, one for each thing that is wrong.
CHECK = r"""
(() => {
  const wrong = [];
  const name = (one) => one.outerHTML.slice(0, 120);
  const isShown = (one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility === "visible";

  if (!document.documentElement.lang) wrong.push("the document has no language");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("the page has not one h1");
  if (!document.title) wrong.push("the page has no title");
  if (document.querySelector("[style], style, script:not([src])")) wrong.push("style or script within the page");
  if (document.querySelector("div[onclick], span[onclick], [role=button]:not(button)")) wrong.push("an element posing as a button");
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  for (const id of new Set(ids.filter((id, index) => ids.indexOf(id) !== index))) wrong.push(`two elements have the id ${id}`);
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (![...(field.labels ?? [])].some((label) => label.textContent.trim())) wrong.push(`no label: ${name(field)}`);
  }
  for (const one of document.querySelectorAll("button, a[href]")) {
    const text = one.getAttribute("aria-label") ?? one.textContent;
    if (!text.trim()) wrong.push(`no text: ${name(one)}`);
  }
  for (const form of document.querySelectorAll("form[method=post]")) {
    if (location.pathname !== "/login" && !form.querySelector("input[name=csrf][value]:not([value=''])")) wrong.push(`no CSRF token: ${name(form)}`);
  }
  for (const cell of document.querySelectorAll("th")) if (!cell.scope) wrong.push(`a heading without scope: ${name(cell)}`);

  // Contrast, by WCAG 2: 4.5 for text, 3 for large text.
  const numbers = (colour) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return { channels: [red, green, blue], alpha: alpha / 255 };
  };
  const light = (channels) => channels
    .map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const over = (top, alpha, below) => top.map((value, index) => value * alpha + below[index] * (1 - alpha));
  const ground = (one) => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) {
      const { channels, alpha } = numbers(getComputedStyle(at).backgroundColor);
      layers.push([channels, alpha]);
      if (alpha === 1) break;
    }
    return layers.reverse().reduce((below, [channels, alpha]) => over(channels, alpha, below), [255, 255, 255]);
  };
  const seen = new Set();
  for (const one of document.querySelectorAll("body *")) {
    const ownText = [...one.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
    if (!ownText || !isShown(one) || one.closest(":disabled, noscript, template, .skip")) continue;
    const style = getComputedStyle(one);
    const behind = ground(one);
    const { channels, alpha } = numbers(style.color);
    const [first, second] = [light(over(channels, alpha, behind)), light(behind)];
    const contrast = (Math.max(first, second) + 0.05) / (Math.min(first, second) + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const key = `${style.color} on ${behind.map(Math.round)}`;
    if (contrast < (isLarge ? 3 : 4.5) && !seen.has(key)) {
      seen.add(key);
      wrong.push(`contrast ${contrast.toFixed(2)} (${key}): ${name(one)}`);
    }
  }
  return wrong;
})()
"""

# The first Tab leads to the link that skips the navigation, and focus can be seen.
FOCUS = r"""
(() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const isSeen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return { text: one.textContent.trim(), isSeen, top: one.getBoundingClientRect().top };
})()
"""
