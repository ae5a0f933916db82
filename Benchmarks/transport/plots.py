"""Line plots as SVG text, written by hand: a few panels side by side, labelled axes, one legend."""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 360, 260  # of one panel
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 46  # what axes and labels take of it
LEGEND = 26
COLOURS = {"img": "#c0392b", "udpcast": "#2471a3", "uftp": "#7d3c98", "tcp": "#1e8449", "ceiling": "#7f8c8d"}
TEXT = 'font-family="sans-serif" fill="#222"'


class Scale:
    """Values to pixels, linear or logarithmic, with round ticks."""

    def __init__(self, values, low, high, logarithmic):
        self.low_pixel, self.high_pixel, self.logarithmic = low, high, logarithmic
        if logarithmic:
            self.first = 10 ** math.floor(math.log10(min(values)))
            self.last = 10 ** math.ceil(math.log10(max(values) * 1.0001))
            decades = round(math.log10(self.last / self.first))
            self.ticks = [self.first * 10 ** k for k in range(decades + 1)]
        else:
            highest = max([*values, 1e-9])
            step = 10 ** math.floor(math.log10(highest))
            step = next(step * part for part in (0.2, 0.25, 0.5, 1, 2) if highest / (step * part) <= 6)
            self.first, self.last = 0, step * math.ceil(highest / step)
            self.ticks = [step * k for k in range(round(self.last / step) + 1)]

    def __call__(self, value):
        if self.logarithmic:
            part = math.log(value / self.first) / math.log(self.last / self.first)
        else:
            part = (value - self.first) / (self.last - self.first)
        return self.low_pixel + part * (self.high_pixel - self.low_pixel)


def text(x, y, words, anchor="middle", size=11, turned=False):
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {TEXT}{turn}>{escape(words)}</text>'


def panel(left, title, x_label, y_label, series, positions, logarithmic):
    """One panel: `series` maps a name to points (x, y); the x axis has `positions` at equal distances."""
    parts = [text(left + LEFT + (WIDTH - LEFT - RIGHT) / 2, TOP - 14, title, size=13)]
    values = [y for points in series.values() for _, y in points]
    if not values:
        return parts + [text(left + WIDTH / 2, HEIGHT / 2, "not measured yet")]
    x0, x1, y0, y1 = left + LEFT, left + WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    scale = Scale(values, y0, y1, logarithmic)
    gap = (x1 - x0) / len(positions)
    place = {position: x0 + gap * (k + 0.5) for k, position in enumerate(positions)}
    for tick in scale.ticks:
        y = scale(tick)
        parts.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x1}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(x0 - 6, y + 4, f"{tick:g}", "end"))
    for position, x in place.items():
        parts.append(f'<line x1="{x:.1f}" y1="{y0}" x2="{x:.1f}" y2="{y0 + 4}" stroke="#222"/>')
        parts.append(text(x, y0 + 17, f"{position:g}"))
    parts.append(f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="#222"/>')
    parts.append(text((x0 + x1) / 2, y0 + 36, x_label))
    parts.append(text(left + 14, (y0 + y1) / 2, y_label, turned=True))
    for name, points in series.items():
        if not points:
            continue
        colour = COLOURS[name]
        dash = ' stroke-dasharray="5 3"' if name == "ceiling" else ""
        line = " ".join(f"{place[x]:.1f},{scale(y):.1f}" for x, y in sorted(points))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        parts += [f'<circle cx="{place[x]:.1f}" cy="{scale(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return parts


def figure(panels, names):
    """The SVG of several panels (arguments of `panel` after its first) and one legend of `names`."""
    width, height = WIDTH * len(panels), HEIGHT + LEGEND
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
             f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for k, arguments in enumerate(panels):
        parts += panel(k * WIDTH, *arguments)
    for k, name in enumerate(names):
        x = LEFT + k * 100
        parts.append(f'<rect x="{x}" y="{HEIGHT + 5}" width="14" height="8" fill="{COLOURS[name]}"/>')
        parts.append(text(x + 20, HEIGHT + 13, name, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"
