// Trains of datagrams: many datagrams per system call, cut apart (GSO) and put together (GRO) by the kernel.
#define _GNU_SOURCE
#include "CLinux.h"
#include <string.h>

#define MOST_MESSAGES 64

_Static_assert(sizeof(struct sockaddr_in6) <= sizeof((struct clinux_target *)0)->name, "a target holds any address");

void clinux_target_prepare(struct clinux_target *target, const struct clinux_address *to) {
    struct sockaddr_storage storage;
    target->length = clinux_to_kernel(to, &storage);
    memcpy(target->name, &storage, sizeof target->name);
}

static ssize_t send_segmented(int fd, const struct clinux_target *to, const void *bytes, size_t count,
                              size_t segment) {
    union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {(void *)bytes, count};
    struct msghdr message = {(void *)to->name, to->length, &piece, 1, control.bytes, sizeof control.bytes, 0};
    uint16_t size = (uint16_t)segment;
    memset(&control, 0, sizeof control);
    control.align.cmsg_level = IPPROTO_UDP;
    control.align.cmsg_type = UDP_SEGMENT;
    control.align.cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(&control.align), &size, sizeof size);
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t clinux_send_train(int fd, const struct clinux_target *to, const void *bytes, size_t count, size_t segment,
                          int32_t *one_by_one) {
    struct mmsghdr messages[MOST_MESSAGES];
    struct iovec pieces[MOST_MESSAGES];
    unsigned int number = 0;
    if (count > segment && !*one_by_one) {
        ssize_t sent = send_segmented(fd, to, bytes, count, segment);
        // These are how a kernel without GSO, a device without checksums and one with a smaller MTU refuse.
        if (sent >= 0 || (errno != EINVAL && errno != EIO && errno != ENOPROTOOPT && errno != EOPNOTSUPP))
            return sent;
        *one_by_one = 1;
    }
    for (size_t start = 0; start < count && number < MOST_MESSAGES; start += segment, number++) {
        size_t length = count - start < segment ? count - start : segment;
        struct msghdr *header = &messages[number].msg_hdr;
        pieces[number] = (struct iovec){(char *)bytes + start, length};
        *header = (struct msghdr){(void *)to->name, to->length, &pieces[number], 1, NULL, 0, 0};
    }
    int taken = sendmmsg(fd, messages, number, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken < 0) return -1;
    return (size_t)taken * segment < count ? (ssize_t)((size_t)taken * segment) : (ssize_t)count;
}

int clinux_drain_errors(int fd) {
    int count = 0;
    char control[256];
    char byte;
    while (count < 1024) {
        struct iovec piece = {&byte, sizeof byte};
        struct msghdr message = {NULL, 0, &piece, 1, control, sizeof control, 0};
        if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) break;
        count++;
    }
    return count;
}

int clinux_receive_trains(int fd, void *memory, size_t stride, size_t room, struct clinux_train *trains,
                          int capacity) {
    struct mmsghdr messages[MOST_MESSAGES];
    struct iovec pieces[MOST_MESSAGES];
    struct sockaddr_in6 names[MOST_MESSAGES];
    union {
        char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t)) + 32];
        struct cmsghdr align;
    } controls[MOST_MESSAGES];
    if (capacity > MOST_MESSAGES) capacity = MOST_MESSAGES;
    for (int i = 0; i < capacity; i++) {
        pieces[i] = (struct iovec){(char *)memory + (size_t)i * stride, room};
        messages[i].msg_hdr = (struct msghdr){&names[i], sizeof names[i],   &pieces[i], 1,
                                              &controls[i], sizeof controls[i], 0};
    }
    int count = recvmmsg(fd, messages, (unsigned)capacity, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        struct clinux_train *train = &trains[i];
        train->count = messages[i].msg_len;
        train->segment = messages[i].msg_len;
        train->drops = 0;
        train->has_drops = 0;
        train->truncated = (message->msg_flags & MSG_TRUNC) != 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
            if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
                int segment;
                memcpy(&segment, CMSG_DATA(c), sizeof segment);
                if (segment > 0) train->segment = (uint32_t)segment;
            } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
                memcpy(&train->drops, CMSG_DATA(c), sizeof train->drops);
                train->has_drops = 1;
            }
        }
        // All come from one host: its address is worked out once.
        if (i > 0 && message->msg_namelen == messages[i - 1].msg_hdr.msg_namelen
            && memcmp(&names[i], &names[i - 1], message->msg_namelen) == 0)
            train->from = trains[i - 1].from;
        else
            clinux_from_kernel((struct sockaddr *)&names[i], &train->from);
    }
    return count;
}
