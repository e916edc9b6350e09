// Hand-tuned TLS echo server: OpenSSL over epoll, the least work such a design can do.
//
//   limit_tls PORT PEM [fd]
//
// As limit_epoll.c, with one receive buffer and one send buffer for all connections: the records
// of one recv() are decrypted in turn, encrypted side by side, and go out with one send().
// "fd" gives OpenSSL the socket instead: two receives and a send for each record.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../tls_bytes.h"

#define BUF (256 << 10)
#define RECORD (16 << 10)

struct conn {
    SSL *ssl;
    int fd;
    size_t off, len;           // backlog, encrypted; with "fd", plain
    char *backlog;
};

static char buf[BUF] __attribute__((aligned(64)));
static char plain[RECORD] __attribute__((aligned(64)));

static int drop(struct conn *c) {
    close(c->fd);
    SSL_free(c->ssl);
    free(c->backlog);
    free(c);
    return -1;
}

static void keep(struct conn *c, const char *from, size_t size) {
    c->backlog = realloc(c->backlog, size);
    memcpy(c->backlog, from, size);
    c->off = 0;
    c->len = size;
}

// 1: nothing is left to send, 0: the socket is full, -1: the connection is lost
static int flush_backlog(struct conn *c) {
    while (c->len) {
        ssize_t n = send(c->fd, c->backlog + c->off, c->len, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN ? 0 : -1;
        c->off += (size_t)n;
        c->len -= (size_t)n;
    }
    return 1;
}

static int flush_out(struct conn *c) {
    if (!bytes.out_size) return 1;
    ssize_t n = send(c->fd, bytes.out, bytes.out_size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return -1;
    size_t sent = n < 0 ? 0 : (size_t)n, left = bytes.out_size - sent;
    if (left) keep(c, bytes.out + sent, left);
    bytes.out_size = 0;
    return left == 0;
}

// Echoes what `bytes` has. 0, or -1 for an end.
static int echo(struct conn *c) {
    for (;;) {
        int n = SSL_read(c->ssl, plain, RECORD);
        if (n <= 0) return tls_wants_more(c->ssl, n) ? 0 : -1;
        if (SSL_write(c->ssl, plain, n) != n) return -1;
    }
}

static int serve(struct conn *c) {
    for (;;) {
        int state = flush_backlog(c);
        if (state <= 0) return state < 0 ? drop(c) : 0;
        ssize_t n = recv(c->fd, buf, BUF, 0);
        if (n < 0 && errno == EAGAIN) return 0;
        if (n <= 0) return drop(c);
        bytes.in = buf;
        bytes.in_size = (size_t)n;
        bytes.out_size = 0;
        if (echo(c) < 0 || flush_out(c) < 0) return drop(c);
        if (n < BUF && !c->len) return 0;
    }
}

// The same by SSL_set_fd(). 0, or -1 when it was dropped.
static int serve_fd(struct conn *c) {
    for (;;) {
        while (c->len) {
            int n = SSL_write(c->ssl, c->backlog, (int)c->len);
            if (n <= 0) return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE ? 0 : drop(c);
            c->len = 0;
        }
        int n = SSL_read(c->ssl, plain, RECORD);
        if (n <= 0) return tls_wants_more(c->ssl, n) ? 0 : drop(c);
        int m = SSL_write(c->ssl, plain, n);
        if (m <= 0) {
            if (SSL_get_error(c->ssl, m) != SSL_ERROR_WANT_WRITE) return drop(c);
            keep(c, plain, (size_t)n);
            return 0;
        }
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    int by_fd = argc > 3 && !strcmp(argv[3], "fd");
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(l, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);   // inherited by accepted sockets
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(l, (struct sockaddr *)&a, sizeof a) || listen(l, 4096)) { perror("listen"); return 1; }
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
    struct epoll_event ev[1024];
    for (;;) {
        int n = epoll_wait(ep, ev, 1024, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = ev[i].data.ptr;
            if (c) {
                by_fd ? serve_fd(c) : serve(c);
                continue;
            }
            int fd;
            while ((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                c = calloc(1, sizeof *c);
                c->fd = fd;
                c->ssl = by_fd ? SSL_new(context) : tls_new(context);
                if (by_fd) SSL_set_fd(c->ssl, fd);
                SSL_set_accept_state(c->ssl);
                e = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
            }
        }
    }
}
