// Packet sockets: a look at what comes in by an interface, before this machine's packet filter decides about it.
#define _GNU_SOURCE
#include "CLinux.h"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>

#define LOAD(size, from) {BPF_LD | (size) | BPF_ABS, 0, 0, (uint32_t)(from)}
// Goes on if the value is (or is not) `number`, else gives up: the last instruction is `left` further on.
#define ONLY(number, left) {BPF_JMP | BPF_JEQ | BPF_K, 0, (left), (number)}
#define EXCEPT(number, left) {BPF_JMP | BPF_JEQ | BPF_K, (left), 0, (number)}
#define TAKE(bytes) {BPF_RET | BPF_K, 0, 0, (bytes)}

int clinux_tap(unsigned interface, const struct clinux_address *group, unsigned bytes) {
    // Offsets count from the IP header. Own datagrams and tagged frames, which are another network's, do not count.
    struct sock_filter ipv4[] = {
        LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PKTTYPE), EXCEPT(PACKET_OUTGOING, 7),
        LOAD(BPF_W, SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT), ONLY(0, 5),
        LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PROTOCOL), ONLY(ETH_P_IP, 3),
        LOAD(BPF_W, 16), ONLY((uint32_t)group->low, 1),
        TAKE(bytes), TAKE(0),
    };
    struct sock_filter ipv6[] = {
        LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PKTTYPE), EXCEPT(PACKET_OUTGOING, 13),
        LOAD(BPF_W, SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT), ONLY(0, 11),
        LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PROTOCOL), ONLY(ETH_P_IPV6, 9),
        LOAD(BPF_W, 24), ONLY((uint32_t)(group->high >> 32), 7),
        LOAD(BPF_W, 28), ONLY((uint32_t)group->high, 5),
        LOAD(BPF_W, 32), ONLY((uint32_t)(group->low >> 32), 3),
        LOAD(BPF_W, 36), ONLY((uint32_t)group->low, 1),
        TAKE(bytes), TAKE(0),
    };
    struct sock_fprog program = {sizeof ipv4 / sizeof *ipv4, ipv4};
    if (group->family == 6) program = (struct sock_fprog){sizeof ipv6 / sizeof *ipv6, ipv6};
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  // Sockets for all protocols see frames before the filter at the interface's ingress.
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)interface};
    // Protocol 0: nothing comes before the filter is in place and the interface chosen.
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}
