// A BIO for one connection over memory that all connections share: OpenSSL reads from what one
// recv() brought and leaves its records side by side for one send(). No allocation, and no
// system call per record.
#pragma once
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    const char *in;            // received and not read by OpenSSL yet
    size_t in_size;
    char *out;                 // for send()
    size_t out_size, out_room;
};
static struct bytes bytes;     // of the connection whose turn it is

static int bytes_read(BIO *bio, char *to, int size) {
    BIO_clear_retry_flags(bio);
    size_t n = bytes.in_size < (size_t)size ? bytes.in_size : (size_t)size;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(to, bytes.in, n);
    bytes.in += n;
    bytes.in_size -= n;
    return (int)n;
}

static int bytes_write(BIO *bio, const char *from, int size) {
    (void)bio;
    if (bytes.out_size + (size_t)size > bytes.out_room) {
        bytes.out_room = 2 * (bytes.out_size + (size_t)size);
        bytes.out = realloc(bytes.out, bytes.out_room);
    }
    memcpy(bytes.out + bytes.out_size, from, (size_t)size);
    bytes.out_size += (size_t)size;
    return size;
}

static long bytes_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static SSL *tls_new(SSL_CTX *context) {
    static BIO_METHOD *method;
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes");
        BIO_meth_set_read(method, bytes_read);
        BIO_meth_set_write(method, bytes_write);
        BIO_meth_set_ctrl(method, bytes_control);
    }
    SSL *ssl = SSL_new(context);
    BIO *bio = BIO_new(method);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return ssl;
}

// Whether a call that gave `result` only waits for more to come.
static int tls_wants_more(SSL *ssl, int result) {
    return SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ;
}
