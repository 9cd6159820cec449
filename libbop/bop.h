/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * libbop: talks to a server of Box of Pain (`bop serve`) as a controller. All messages, with what they mean, are in
 * proto/api.proto, installed beside this file; docs/api.md explains them with examples. Compile and link with
 * `pkg-config --cflags --libs libbop`.
 *
 * Functions return 0 (or what they say) and on failure a negative errno, then *e, if e is not NULL, says what is wrong in one line.
 * One thread at a time for each connection. Nothing is printed, no signal is handled, no variable is global.
 */
#ifndef BOP_H
#define BOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/api.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BOP_PUBLIC __attribute__((visibility("default")))

#define BOP_API_VERSION 1u /* of the protocol: what bop_send() writes into requests */

struct bop; /* a connection */

struct bop_error {
	int code;		  /* as returned */
	Bop__Api__ErrorKind kind; /* with refused */
	bool refused;		  /* the server answered with an Error; else it is ours */
	char text[512];		  /* without a newline */
};

/* For TCP. Either may be NULL: then server.public, controller.secret in $BOP_KEYS, else /etc/bop/keys for root, ~/.config/bop/keys. */
struct bop_keys {
	const char *server; /* the server's public key, or a file with it */
	const char *secret; /* a file with the secret key of this controller; only its owner may be able to read it */
};

/*
 * url: ipc://DIR/api, tcp://HOST:PORT, or NULL: the usual one of this user, where `bop serve` is found without being told. keys: NULL
 * for the usual ones. Waits until the server has let us in, 30 s at most. -ECONNREFUSED: nobody is there; -EACCES: our key is not on
 * its list; -EPROTO: it has not the key that we expect, or speaks something else; -ETIMEDOUT; -EINVAL: no such url.
 */
BOP_PUBLIC int bop_open(const char *url, const struct bop_keys *keys, struct bop **ret_bop, struct bop_error *e);
/* Runs that this connection asked for end. NULL is fine. */
BOP_PUBLIC void bop_close(struct bop *bop);

/*
 * Sends a request, of which `what_case` and the member that it names are set (BOP__API__REQUEST__INIT first). Sets its version, and
 * its id, to one that this connection has not used, if that is 0.
 */
BOP_PUBLIC int bop_send(struct bop *bop, Bop__Api__Request *request, struct bop_error *e);

/*
 * The next answer, to any request. 1: got one, to be freed with bop_answer_free(); 0: there is none now. -EPIPE: the server is gone,
 * -EBADMSG: it sent something else. What came before its end is got first.
 */
BOP_PUBLIC int bop_receive(struct bop *bop, Bop__Api__Answer **ret_answer, struct bop_error *e);
/* Waits for one. timeout_ms -1: as long as it takes. -ETIMEDOUT; -EINTR: a signal. */
BOP_PUBLIC int bop_wait(struct bop *bop, int timeout_ms, Bop__Api__Answer **ret_answer, struct bop_error *e);
BOP_PUBLIC void bop_answer_free(Bop__Api__Answer *answer);

/*
 * Sends a request and waits for the answer that ends it: neither Progress nor Events. Answers to other requests that come meanwhile
 * are kept for bop_receive(); Progress and Events of this one are dropped. An Error becomes a failure: e->kind, and the code -EINVAL
 * (INVALID), -ENOENT (NOT_FOUND), -EBUSY (BUSY), -ENODATA (INCOMPLETE), -EPROTO (VERSION), -EBADMSG (MALFORMED), -EIO (FAILED). After
 * -ETIMEDOUT or -EINTR the request goes on: Cancel ends it.
 */
BOP_PUBLIC int bop_ask(struct bop *bop, Bop__Api__Request *request, int timeout_ms, Bop__Api__Answer **ret_answer,
		       struct bop_error *e);

/* For poll(): readable as long as bop_receive() has something to say. Only that; it is not to be read. */
BOP_PUBLIC int bop_fd(const struct bop *bop);

/* The address that it was opened with. */
BOP_PUBLIC const char *bop_url(const struct bop *bop);

/* Of the library, as "0.1.0". */
BOP_PUBLIC const char *bop_version(void);

/*
 * The same in bytes, for programs that have protobuf code of their own: a Request, an Answer. *ret_bytes is malloc'ed. What
 * bop_ask() has kept comes first.
 */
BOP_PUBLIC int bop_send_bytes(struct bop *bop, const void *bytes, size_t size, struct bop_error *e);
BOP_PUBLIC int bop_receive_bytes(struct bop *bop, void **ret_bytes, size_t *ret_size, struct bop_error *e);

#ifdef __cplusplus
}
#endif

#endif
