// Sockets, events and signals: what Swift cannot call because of unions, control messages or packed structures.
#define _GNU_SOURCE
#include "CLinux.h"
#include <arpa/inet.h>
#include <endian.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <net/if.h>
#include <netdb.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

socklen_t clinux_to_kernel(const struct clinux_address *address, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof *storage);
    if (address->family == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        in->sin_addr.s_addr = htonl((uint32_t)address->low);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;
    uint64_t words[2] = {htobe64(address->high), htobe64(address->low)};
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    in6->sin6_scope_id = address->scope;
    memcpy(&in6->sin6_addr, words, sizeof words);
    return sizeof *in6;
}

void clinux_from_kernel(const struct sockaddr *kernel, struct clinux_address *address) {
    memset(address, 0, sizeof *address);
    if (kernel == NULL) return;
    if (kernel->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)kernel;
        address->family = 4;
        address->port = ntohs(in->sin_port);
        address->low = ntohl(in->sin_addr.s_addr);
    } else if (kernel->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)kernel;
        uint64_t words[2];
        memcpy(words, &in6->sin6_addr, sizeof words);
        address->family = 6;
        address->port = ntohs(in6->sin6_port);
        address->scope = in6->sin6_scope_id;
        address->high = be64toh(words[0]);
        address->low = be64toh(words[1]);
    }
}

int clinux_address_parse(const char *text, struct clinux_address *address) {
    struct sockaddr_storage storage;
    memset(&storage, 0, sizeof storage);
    struct sockaddr_in *in = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
    } else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
    } else {
        return 0;
    }
    clinux_from_kernel((struct sockaddr *)&storage, address);
    return 1;
}

const char *clinux_address_resolve(const char *name, struct clinux_address *address) {
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    int status = getaddrinfo(name, NULL, &hints, &found);
    if (status != 0) return gai_strerror(status);
    // The resolver's order is that of preference (RFC 6724).
    clinux_from_kernel(found->ai_addr, address);
    freeaddrinfo(found);
    return NULL;
}

int clinux_address_text(const struct clinux_address *address, char *text, size_t capacity) {
    struct sockaddr_storage storage;
    clinux_to_kernel(address, &storage);
    const void *bytes = address->family == 4 ? (const void *)&((struct sockaddr_in *)&storage)->sin_addr
                                             : (const void *)&((struct sockaddr_in6 *)&storage)->sin6_addr;
    return inet_ntop(storage.ss_family, bytes, text, (socklen_t)capacity) != NULL;
}

int clinux_bind(int fd, const struct clinux_address *address) {
    struct sockaddr_storage storage;
    socklen_t length = clinux_to_kernel(address, &storage);
    return bind(fd, (struct sockaddr *)&storage, length);
}

int clinux_connect(int fd, const struct clinux_address *address) {
    struct sockaddr_storage storage;
    socklen_t length = clinux_to_kernel(address, &storage);
    return connect(fd, (struct sockaddr *)&storage, length);
}

int clinux_accept(int fd, struct clinux_address *from) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    int accepted = accept4(fd, (struct sockaddr *)&storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) clinux_from_kernel((struct sockaddr *)&storage, from);
    return accepted;
}

int clinux_socket_address(int fd, int peer, struct clinux_address *address) {
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    struct sockaddr *kernel = (struct sockaddr *)&storage;
    int result = peer ? getpeername(fd, kernel, &length) : getsockname(fd, kernel, &length);
    if (result == 0) clinux_from_kernel(kernel, address);
    return result;
}

int clinux_group(int fd, int join, const struct clinux_address *group, unsigned interface) {
    struct group_req request;
    memset(&request, 0, sizeof request);
    request.gr_interface = interface;
    clinux_to_kernel(group, &request.gr_group);
    return setsockopt(fd, group->family == 4 ? IPPROTO_IP : IPPROTO_IPV6,
                      join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &request, sizeof request);
}

ssize_t clinux_send_to(int fd, const void *bytes, size_t count, const struct clinux_address *to) {
    struct sockaddr_storage storage;
    socklen_t length = clinux_to_kernel(to, &storage);
    int multicast = to->family == 6 && to->high >> 56 == 0xff;
    if (to->scope == 0 || (to->family == 6 && !multicast))
        return sendto(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&storage, length);

    // The address alone does not say by which interface: neither IPv4's nor that of IPv6's wider groups.
    union {
        char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {(void *)bytes, count};
    struct msghdr message = {&storage, length, &piece, 1, control.bytes, 0, 0};
    memset(&control, 0, sizeof control);
    struct cmsghdr *header = &control.align;
    if (to->family == 4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)to->scope};
        header->cmsg_level = IPPROTO_IP;
        header->cmsg_type = IP_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(header), &info, sizeof info);
        message.msg_controllen = CMSG_SPACE(sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = to->scope};
        header->cmsg_level = IPPROTO_IPV6;
        header->cmsg_type = IPV6_PKTINFO;
        header->cmsg_len = CMSG_LEN(sizeof info);
        memcpy(CMSG_DATA(header), &info, sizeof info);
        message.msg_controllen = CMSG_SPACE(sizeof info);
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t clinux_receive_from(int fd, void *buffer, size_t capacity, struct clinux_arrival *arrival) {
    struct sockaddr_storage storage;
    union {
        char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)) + 64];
        struct cmsghdr align;
    } control;
    struct iovec piece = {buffer, capacity};
    struct msghdr message = {&storage, sizeof storage, &piece, 1, control.bytes, sizeof control.bytes, 0};
    memset(arrival, 0, sizeof *arrival);
    ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT);
    if (count < 0) return count;
    clinux_from_kernel((struct sockaddr *)&storage, &arrival->from);
    arrival->truncated = (message.msg_flags & MSG_TRUNC) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&arrival->drops, CMSG_DATA(c), sizeof arrival->drops);
            arrival->has_drops = 1;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            arrival->interface = (uint32_t)info.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            arrival->interface = info.ipi6_ifindex;
        }
    }
    return count;
}

static uint32_t prefix_length(const struct sockaddr *mask) {
    struct clinux_address address;
    clinux_from_kernel(mask, &address);
    return (uint32_t)(__builtin_popcountll(address.high) + __builtin_popcountll(address.low));
}

int clinux_interfaces(struct clinux_interface *entries, int capacity) {
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) return -1;
    int count = 0;
    for (struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr == NULL) continue;
        int family = i->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6 && family != AF_PACKET) continue;
        if (count < capacity) {
            struct clinux_interface *entry = &entries[count];
            memset(entry, 0, sizeof *entry);
            strncpy(entry->name, i->ifa_name, sizeof entry->name - 1);
            entry->flags = i->ifa_flags;
            if (family == AF_PACKET) {
                const struct sockaddr_ll *link = (const struct sockaddr_ll *)i->ifa_addr;
                entry->is_link = 1;
                entry->index = (uint32_t)link->sll_ifindex;
                if (link->sll_halen == 6) memcpy(entry->mac, link->sll_addr, 6);
            } else {
                entry->index = if_nametoindex(i->ifa_name);
                clinux_from_kernel(i->ifa_addr, &entry->address);
                if (i->ifa_netmask != NULL) entry->prefix = prefix_length(i->ifa_netmask);
                if (i->ifa_flags & IFF_BROADCAST) clinux_from_kernel(i->ifa_broadaddr, &entry->broadcast);
            }
        }
        count++;
    }
    freeifaddrs(list);
    return count;
}

// Whether an interface is hardware (or a machine's model of it): then the kernel says on which bus. Asked by ioctl, not
// looked for in /sys/class/net/NAME/device, because a thread that changed its network namespace still sees the /sys of
// the old one. Bridges and tunnels of the kernel write a word there that names no bus.
int clinux_has_device(const char *interface) {
    static const char *const no_bus[] = {"", "N/A", "tun", "tap"};
    struct ethtool_drvinfo driver;
    struct ifreq request;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    memset(&driver, 0, sizeof driver);
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    request.ifr_data = (char *)&driver;
    driver.cmd = ETHTOOL_GDRVINFO;
    int found = ioctl(fd, SIOCETHTOOL, &request) == 0;
    close(fd);
    for (size_t i = 0; i < sizeof no_bus / sizeof no_bus[0]; i++)
        if (strcmp(driver.bus_info, no_bus[i]) == 0) found = 0;
    return found;
}

// Mbit/s of an interface as its driver states it, 0 when it does not know.
long clinux_link_speed(const char *interface) {
    union {
        struct ethtool_link_settings head;
        char room[sizeof(struct ethtool_link_settings) + 3 * 127 * sizeof(uint32_t)];
    } settings;
    struct ifreq request;
    long speed = 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    memset(&settings, 0, sizeof settings);
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
    request.ifr_data = (char *)&settings;
    settings.head.cmd = ETHTOOL_GLINKSETTINGS;
    // The first call is refused with the negated length of the masks; the second gets the answer.
    if (ioctl(fd, SIOCETHTOOL, &request) == 0 && settings.head.link_mode_masks_nwords < 0) {
        settings.head.link_mode_masks_nwords = -settings.head.link_mode_masks_nwords;
        settings.head.cmd = ETHTOOL_GLINKSETTINGS;
        if (ioctl(fd, SIOCETHTOOL, &request) == 0 && settings.head.speed != (uint32_t)SPEED_UNKNOWN)
            speed = settings.head.speed;
    }
    close(fd);
    return speed;
}

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {events, {.u64 = token}};
    return epoll_ctl(epoll, operation, fd, &event);
}

int clinux_epoll_wait(int epoll, struct clinux_event *events, int capacity, int64_t nanoseconds) {
    struct epoll_event found[64];
    struct timespec time = {nanoseconds / 1000000000, nanoseconds % 1000000000};
    if (capacity > 64) capacity = 64;
    int count = epoll_pwait2(epoll, found, capacity, nanoseconds < 0 ? NULL : &time, NULL);
    for (int i = 0; i < count; i++) {
        events[i].token = found[i].data.u64;
        events[i].events = found[i].events;
    }
    return count;
}

int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static volatile sig_atomic_t termination_signal;
static volatile sig_atomic_t termination_eventfd = -1;
static volatile sig_atomic_t terminations_seen[NSIG];

// The second signal of a kind ends the process, so that a program that hangs in its clean end can still be stopped.
static void terminate(int number) {
    int saved = errno;
    uint64_t one = 1;
    if (terminations_seen[number]) {
        clinux_keyboard_put_back();
        signal(number, SIG_DFL);
        raise(number);
    }
    terminations_seen[number] = 1;
    termination_signal = number;
    if (write(termination_eventfd, &one, sizeof one) < 0) { /* the flag above is enough */ }
    errno = saved;
}

int clinux_catch_termination(int eventfd) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = terminate;
    action.sa_flags = SA_RESTART;
    termination_eventfd = eventfd;
    for (int number = 0; number < NSIG; number++) terminations_seen[number] = 0;
    if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGHUP, &action, NULL) != 0) return -1;
    return sigaction(SIGTERM, &action, NULL);
}

int clinux_termination_signal(void) { return termination_signal; }

int clinux_setns(int fd, int kind) { return setns(fd, kind); }

static uint16_t internet_checksum(const uint8_t *bytes, size_t count) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < count; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

// One record "mode is exclude, no sources": the answer a member gives to a querier, sent although nobody asked.
static const uint8_t mode_is_exclude = 2;

static int report_ipv4(int fd, const struct clinux_address *group, unsigned interface) {
    static const uint8_t router_alert[4] = {0x94, 4, 0, 0};
    uint8_t report[16] = {0x22, 0, 0, 0, 0, 0, 0, 1, mode_is_exclude};
    struct clinux_address everybody = {.low = 0xe0000016, .scope = interface, .family = 4};
    uint32_t number = htonl((uint32_t)group->low);
    int one = 1;
    memcpy(report + 12, &number, 4);
    uint16_t sum = htons(internet_checksum(report, sizeof report));
    memcpy(report + 2, &sum, 2);
    if (setsockopt(fd, IPPROTO_IP, IP_OPTIONS, router_alert, sizeof router_alert) != 0) return -1;
    if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &one, sizeof one) != 0) return -1;
    return clinux_send_to(fd, report, sizeof report, &everybody) < 0 ? -1 : 0;
}

static int report_ipv6(int fd, const struct clinux_address *group, unsigned interface) {
    // A hop-by-hop header with router alert (5) and padding to eight bytes.
    static const uint8_t router_alert[8] = {0, 0, 5, 2, 0, 0, 1, 0};
    uint8_t report[28] = {143, 0, 0, 0, 0, 0, 0, 1, mode_is_exclude};
    struct clinux_address everybody = {.high = 0xff02000000000000, .low = 0x16, .scope = interface, .family = 6};
    uint64_t words[2] = {htobe64(group->high), htobe64(group->low)};
    int one = 1;
    memcpy(report + 12, words, sizeof words);
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_HOPOPTS, router_alert, sizeof router_alert) != 0) return -1;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &one, sizeof one) != 0) return -1;
    return clinux_send_to(fd, report, sizeof report, &everybody) < 0 ? -1 : 0;
}

int clinux_report_membership(const struct clinux_address *group, unsigned interface) {
    int v4 = group->family == 4;
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, v4 ? IPPROTO_IGMP : IPPROTO_ICMPV6);
    if (fd < 0) return -1;
    int result = v4 ? report_ipv4(fd, group, interface) : report_ipv6(fd, group, interface);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}
