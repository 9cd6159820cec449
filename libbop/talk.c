/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Requests out, answers in. The descriptors of ZeroMQ tell that something has changed, once; bop_fd() stays readable as long as there is
 * something: after each use of the sockets it is looked at what is left, and `ready` says so.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "libbop/inside.h"

struct kept {
	struct kept *next;
	size_t size;
	unsigned char bytes[];
};

void bop_kept_free(struct bop *bop)
{
	while (bop->kept) {
		struct kept *first = bop->kept;

		bop->kept = first->next;
		free(first);
	}
}

static int keep(struct bop *bop, const void *bytes, size_t size)
{
	struct kept *kept = malloc(sizeof(*kept) + size), **last = &bop->kept;

	if (!kept)
		return -ENOMEM;
	kept->next = NULL;
	kept->size = size;
	memcpy(kept->bytes, bytes, size);
	while (*last)
		last = &(*last)->next;
	*last = kept;
	return 0;
}

static bool readable(void *socket)
{
	int events = 0;
	size_t size = sizeof(events);

	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && events & ZMQ_POLLIN;
}

void bop_ready_set(struct bop *bop)
{
	bool ready = bop->kept || bop->gone;
	uint64_t count = 1;

	ready |= readable(bop->socket); /* both are asked: that makes their descriptors tell of the next change */
	ready |= readable(bop->monitor);
	if (ready ? write(bop->ready, &count, sizeof(count)) < 0 : read(bop->ready, &count, sizeof(count)) < 0)
		return; /* it was as it should be */
}

int bop_event(struct bop *bop)
{
	unsigned char event[6];
	uint16_t what;

	/* two frames: event and value; the address, which is known */
	if (zmq_recv(bop->monitor, event, sizeof(event), ZMQ_DONTWAIT) != sizeof(event))
		return 0;
	zmq_recv(bop->monitor, NULL, 0, 0);
	memcpy(&what, event, sizeof(what));
	return what;
}

static void gone_look(struct bop *bop)
{
	int event;

	while ((event = bop_event(bop)))
		bop->gone |= event == ZMQ_EVENT_DISCONNECTED;
}

int bop_fd(const struct bop *bop)
{
	return bop->epoll;
}

int bop_send_bytes(struct bop *bop, const void *bytes, size_t size, struct bop_error *e)
{
	int err = 0;

	gone_look(bop);
	if (bop->gone)
		err = bop_fail(e, -EPIPE, "the server at %s is gone", bop->url);
	else if (zmq_send(bop->socket, bytes, size, ZMQ_DONTWAIT) < 0)
		err = zmq_errno() == EAGAIN ? bop_fail(e, -EAGAIN, "the server at %s takes no more requests now", bop->url) :
					      bop_fail(e, -zmq_errno(), "the server at %s: %s", bop->url, zmq_strerror(zmq_errno()));
	bop_ready_set(bop);
	return err;
}

int bop_send(struct bop *bop, Bop__Api__Request *request, struct bop_error *e)
{
	unsigned char *bytes;
	size_t size;
	int err;

	request->version = BOP_API_VERSION;
	if (!request->id)
		request->id = ++bop->last_id;
	else if (request->id > bop->last_id)
		bop->last_id = request->id;
	bytes = malloc(bop__api__request__get_packed_size(request) + 1);
	if (!bytes)
		return bop_fail(e, -ENOMEM, "out of memory");
	size = bop__api__request__pack(request, bytes);
	err = bop_send_bytes(bop, bytes, size, e);
	free(bytes);
	return err;
}

/* From the socket. As bop_receive_bytes(). */
static int bytes_take(struct bop *bop, void **ret_bytes, size_t *ret_size, struct bop_error *e)
{
	zmq_msg_t frame;
	int err = 0;

	gone_look(bop); /* before the frames: what came before the end is there when the end is */
	zmq_msg_init(&frame);
	if (zmq_msg_recv(&frame, bop->socket, ZMQ_DONTWAIT) >= 0) {
		*ret_size = zmq_msg_size(&frame);
		*ret_bytes = malloc(*ret_size + 1);
		err = *ret_bytes ? 1 : bop_fail(e, -ENOMEM, "out of memory");
		if (*ret_bytes && *ret_size)
			memcpy(*ret_bytes, zmq_msg_data(&frame), *ret_size);
	} else if (bop->gone) {
		err = bop_fail(e, -EPIPE, "the server at %s is gone", bop->url);
	}
	zmq_msg_close(&frame);
	bop_ready_set(bop);
	return err;
}

int bop_receive_bytes(struct bop *bop, void **ret_bytes, size_t *ret_size, struct bop_error *e)
{
	struct kept *first = bop->kept;

	if (!first)
		return bytes_take(bop, ret_bytes, ret_size, e);
	*ret_bytes = malloc(first->size + 1);
	if (!*ret_bytes)
		return bop_fail(e, -ENOMEM, "out of memory");
	memcpy(*ret_bytes, first->bytes, first->size);
	*ret_size = first->size;
	bop->kept = first->next;
	free(first);
	bop_ready_set(bop);
	return 1;
}

static int answer_make(struct bop *bop, const void *bytes, size_t size, Bop__Api__Answer **ret_answer, struct bop_error *e)
{
	*ret_answer = bop__api__answer__unpack(NULL, size, bytes);
	return *ret_answer ? 1 : bop_fail(e, -EBADMSG, "an answer of the server at %s is not understood (%zu bytes)", bop->url, size);
}

int bop_receive(struct bop *bop, Bop__Api__Answer **ret_answer, struct bop_error *e)
{
	void *bytes = NULL;
	size_t size;
	int err = bop_receive_bytes(bop, &bytes, &size, e);

	if (err > 0)
		err = answer_make(bop, bytes, size, ret_answer, e);
	free(bytes);
	return err;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until the descriptor is readable, or deadline (-1: none) has come. */
static int pause_until(struct bop *bop, int64_t deadline, struct bop_error *e)
{
	struct pollfd item = { .fd = bop->epoll, .events = POLLIN };
	int64_t left = deadline < 0 ? -1 : deadline - now_ms();
	int n;

	if (deadline >= 0 && left <= 0)
		return bop_fail(e, -ETIMEDOUT, "the server at %s did not answer in time", bop->url);
	n = poll(&item, 1, (int)left);
	return n < 0 ? bop_fail(e, -errno, "waiting for the server: %s", strerror(errno)) : 0;
}

int bop_wait(struct bop *bop, int timeout_ms, Bop__Api__Answer **ret_answer, struct bop_error *e)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int err = bop_receive(bop, ret_answer, e);

	while (!err) {
		err = pause_until(bop, deadline, e);
		if (!err)
			err = bop_receive(bop, ret_answer, e);
	}
	return err;
}

void bop_answer_free(Bop__Api__Answer *answer)
{
	if (answer)
		bop__api__answer__free_unpacked(answer, NULL);
}

static int code_of(Bop__Api__ErrorKind kind)
{
	switch ((int)kind) {
	case BOP__API__ERROR_KIND__VERSION:
		return -EPROTO;
	case BOP__API__ERROR_KIND__MALFORMED:
		return -EBADMSG;
	case BOP__API__ERROR_KIND__INVALID:
		return -EINVAL;
	case BOP__API__ERROR_KIND__NOT_FOUND:
		return -ENOENT;
	case BOP__API__ERROR_KIND__BUSY:
		return -EBUSY;
	case BOP__API__ERROR_KIND__INCOMPLETE:
		return -ENODATA;
	default: /* also what a newer server may say */
		return -EIO;
	}
}

static int refusal(const Bop__Api__Error *error, struct bop_error *e)
{
	int code = bop_fail(e, code_of(error->kind), "%s", error->text);

	if (e) {
		e->refused = true;
		e->kind = error->kind;
	}
	return code;
}

/* An Error without an id is about the connection: nothing else will come. */
static bool is_about(const Bop__Api__Answer *answer, uint64_t id)
{
	return answer->id == id || (!answer->id && answer->what_case == BOP__API__ANSWER__WHAT_ERROR);
}

/* An answer that came: 1: it is the one. Else it is kept, or nobody wants it. */
static int look(struct bop *bop, uint64_t id, const void *bytes, size_t size, Bop__Api__Answer **ret_answer, struct bop_error *e)
{
	Bop__Api__Answer *answer;
	int err = answer_make(bop, bytes, size, &answer, e);

	if (err < 0)
		return err;
	if (is_about(answer, id) && answer->what_case != BOP__API__ANSWER__WHAT_PROGRESS &&
	    answer->what_case != BOP__API__ANSWER__WHAT_EVENTS) {
		*ret_answer = answer;
		return 1;
	}
	err = answer->id == id ? 0 : keep(bop, bytes, size);
	bop_answer_free(answer);
	return err ? bop_fail(e, err, "out of memory") : 0;
}

int bop_ask(struct bop *bop, Bop__Api__Request *request, int timeout_ms, Bop__Api__Answer **ret_answer, struct bop_error *e)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	Bop__Api__Answer *answer = NULL;
	int err = bop_send(bop, request, e);
	void *bytes;
	size_t size;

	while (!err) {
		bytes = NULL;
		err = bytes_take(bop, &bytes, &size, e);
		if (err > 0)
			err = look(bop, request->id, bytes, size, &answer, e);
		else if (!err)
			err = pause_until(bop, deadline, e);
		free(bytes);
	}
	bop_ready_set(bop);
	if (err < 0)
		return err;
	if (answer->what_case != BOP__API__ANSWER__WHAT_ERROR) {
		*ret_answer = answer;
		return 0;
	}
	err = refusal(answer->error, e);
	bop_answer_free(answer);
	return err;
}
