// Heads of packets in control messages, and what can be asked about the loopback interface.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void tell(const char *what, long result) {
    printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "");
}

static int receiver(int family, struct sockaddr_storage *at, socklen_t *len) {
    int fd = socket(family, SOCK_DGRAM, 0);
    memset(at, 0, sizeof *at);
    at->ss_family = family;
    *len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    bind(fd, (void *)at, *len);
    getsockname(fd, (void *)at, len);
    if (family == AF_INET) ((struct sockaddr_in *)at)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else ((struct sockaddr_in6 *)at)->sin6_addr = in6addr_loopback;
    return fd;
}

// Receives a message with `room` bytes for control messages and shows all of them.
static void receives(int fd, size_t room, int flags) {
    char data[16], control[256];
    struct sockaddr_storage from = {0};
    struct iovec part = {data, sizeof data};
    struct msghdr m = {&from, sizeof from, &part, 1, control, room, 0};
    struct pollfd p = {fd, POLLIN, 0};
    poll(&p, 1, 60000);
    tell(" received", recvmsg(fd, &m, flags));
    printf(" flags %x, control %zu\n", m.msg_flags, m.msg_controllen);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf("  level %d type %d:", c->cmsg_level, c->cmsg_type);
        for (size_t i = 0; i < c->cmsg_len - CMSG_LEN(0); i++) printf(" %02x", CMSG_DATA(c)[i]);
        printf("\n");
    }
    if (from.ss_family == AF_INET) printf("  from %s\n", inet_ntoa(((struct sockaddr_in *)&from)->sin_addr));
}

static void sends(const char *what, int fd, void *to, socklen_t len, int level, int type, const void *value, size_t size) {
    _Alignas(8) char control[64] = "";
    struct iovec part = {"abc", 3};
    struct msghdr m = {to, len, &part, 1, control, CMSG_SPACE(size), 0};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = level, c->cmsg_type = type, c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), value, size);
    tell(what, sendmsg(fd, &m, 0));
}

static void wants(int fd, int level, const int *names, int count) {
    int on = 1;
    for (int i = 0; i < count; i++) tell("option", setsockopt(fd, level, names[i], &on, sizeof on));
}

static void version4(void) {
    struct sockaddr_storage at;
    socklen_t len;
    int fd = receiver(AF_INET, &at, &len), from = socket(AF_INET, SOCK_DGRAM, 0), value;
    wants(fd, SOL_IP, (int[]){IP_PKTINFO, IP_RECVTTL, IP_RECVTOS}, 3);
    sendto(from, "x", 1, 0, (void *)&at, len);
    receives(fd, 256, MSG_PEEK);
    receives(fd, 40, 0);
    setsockopt(from, SOL_IP, IP_TOS, &(int){0x10}, sizeof value);
    setsockopt(from, SOL_IP, IP_TTL, &(int){7}, sizeof value);
    sendto(from, "x", 1, 0, (void *)&at, len);
    receives(fd, 256, 0);
    sends("TTL", from, &at, len, SOL_IP, IP_TTL, &(int){9}, sizeof value);
    receives(fd, 256, 0);
    sends("TOS", from, &at, len, SOL_IP, IP_TOS, &(int){0x20}, sizeof value);
    receives(fd, 256, 0);
    sends("bad TTL", from, &at, len, SOL_IP, IP_TTL, &(int){0}, sizeof value);
    sends("bad TOS", from, &at, len, SOL_IP, IP_TOS, &(int){256}, sizeof value);
    sends("unknown", from, &at, len, SOL_IP, 77, &(int){1}, sizeof value);
    sends("other level", from, &at, len, SOL_IPV6, IPV6_HOPLIMIT, &(int){9}, sizeof value);
    receives(fd, 256, 0);
    struct in_pktinfo info = {0, {htonl(0x7f000005)}, {0}};
    int third = socket(AF_INET, SOCK_DGRAM, 0);
    sends("source", third, &at, len, SOL_IP, IP_PKTINFO, &info, sizeof info);
    receives(fd, 256, 0);
    info.ipi_ifindex = 99999;
    sends("no interface", third, &at, len, SOL_IP, IP_PKTINFO, &info, sizeof info);
    sends("short", third, &at, len, SOL_IP, IP_PKTINFO, &info, 4);
    close(fd), close(from), close(third);
}

static void version6(void) {
    struct sockaddr_storage at;
    socklen_t len;
    int fd = receiver(AF_INET6, &at, &len), from = socket(AF_INET6, SOCK_DGRAM, 0), value;
    wants(fd, SOL_IPV6, (int[]){IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS}, 3);
    sendto(from, "x", 1, 0, (void *)&at, len);
    receives(fd, 256, 0);
    sends("hops", from, &at, len, SOL_IPV6, IPV6_HOPLIMIT, &(int){3}, sizeof value);
    receives(fd, 256, 0);
    sends("class", from, &at, len, SOL_IPV6, IPV6_TCLASS, &(int){17}, sizeof value);
    receives(fd, 256, 0);
    sends("usual", from, &at, len, SOL_IPV6, IPV6_HOPLIMIT, &(int){-1}, sizeof value);
    receives(fd, 256, 0);
    sends("bad hops", from, &at, len, SOL_IPV6, IPV6_HOPLIMIT, &(int){256}, sizeof value);
    sends("bad class", from, &at, len, SOL_IPV6, IPV6_TCLASS, &(int){-2}, sizeof value);
    close(fd), close(from);
}

static void asks(int fd, const char *what, unsigned long command, const char *name) {
    struct ifreq r = {0};
    strcpy(r.ifr_name, name);
    tell(what, ioctl(fd, command, &r));
    struct sockaddr_in *a = (void *)&r.ifr_addr;
    if (command == SIOCGIFFLAGS) printf(" %x\n", r.ifr_flags);
    else if (command == SIOCGIFADDR || command == SIOCGIFNETMASK) printf(" %d %s\n", a->sin_family, inet_ntoa(a->sin_addr));
    else if (command == SIOCGIFHWADDR) printf(" %d\n", r.ifr_hwaddr.sa_family);
    else printf(" %d\n", r.ifr_ifindex);
}

static void interfaces(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    asks(fd, "flags", SIOCGIFFLAGS, "lo");
    asks(fd, "address", SIOCGIFADDR, "lo");
    asks(fd, "mask", SIOCGIFNETMASK, "lo");
    asks(fd, "hardware", SIOCGIFHWADDR, "lo");
    asks(fd, "index", SIOCGIFINDEX, "lo");
    asks(fd, "MTU", SIOCGIFMTU, "lo");
    asks(fd, "none", SIOCGIFFLAGS, "none0");
    struct ifreq r = {.ifr_ifindex = 1};
    tell("name", ioctl(fd, SIOCGIFNAME, &r));
    puts(r.ifr_name);
    struct ifreq list[64];
    struct ifconf all = {sizeof list, {(void *)list}};
    tell("list", ioctl(fd, SIOCGIFCONF, &all));
    for (unsigned i = 0; i < all.ifc_len / sizeof *list; i++)
        if (!strcmp(list[i].ifr_name, "lo")) puts(inet_ntoa(((struct sockaddr_in *)&list[i].ifr_addr)->sin_addr));
    all = (struct ifconf){8, {(void *)list}};
    tell("no room", ioctl(fd, SIOCGIFCONF, &all));
    tell("length", all.ifc_len);
    printf("by name %u, by number %s\n", if_nametoindex("lo"), if_indextoname(1, r.ifr_name));
    struct if_nameindex *names = if_nameindex();
    for (struct if_nameindex *n = names; n && n->if_index; n++)
        if (n->if_index == 1) printf("index %u %s\n", n->if_index, n->if_name);
    struct ifaddrs *found = 0;
    tell("getifaddrs", getifaddrs(&found));
    for (struct ifaddrs *f = found; f; f = f->ifa_next) {
        if (strcmp(f->ifa_name, "lo") || !f->ifa_addr || f->ifa_addr->sa_family == AF_INET6) continue;
        printf("lo flags %x family %d", f->ifa_flags & (IFF_UP | IFF_LOOPBACK | IFF_RUNNING), f->ifa_addr->sa_family);
        if (f->ifa_addr->sa_family == AF_INET) {
            printf(" %s", inet_ntoa(((struct sockaddr_in *)f->ifa_addr)->sin_addr));
            printf(" %s", inet_ntoa(((struct sockaddr_in *)f->ifa_netmask)->sin_addr));
        }
        printf("\n");
    }
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM}, *result = 0;
    tell("getaddrinfo", getaddrinfo("127.0.0.1", "80", &hints, &result));
    tell("netlink stream", socket(AF_NETLINK, SOCK_STREAM, 0));
    tell("netlink protocol", socket(AF_NETLINK, SOCK_RAW, 31));
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    version4();
    version6();
    interfaces();
}
