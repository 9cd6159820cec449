/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Getting in: the address, the keys, the connection. ZeroMQ would try for ever; a connection of ours is one: whether we were let in is waited
 * for here, and its end is the end.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/key.h"
#include "lib/place.h"
#include "libbop/inside.h"

enum {
	OPEN_MS = 30000,
	HEARTBEAT_MS = 2000,
	HEARTBEAT_TIMEOUT_MS = 20000,
	ANSWER_MAX = 16 << 20, /* bytes */
	/*
	 * Never, nearly: ZeroMQ drops what has arrived and was not read yet when a connection ends that it does not make again
	 * (-1). Twice of it must fit an int.
	 */
	AGAIN_MS = 1 << 29,
	MONITORED = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED |
		    ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
		    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

int bop_fail(struct bop_error *e, int code, const char *format, ...)
{
	struct error line;
	va_list ap;

	if (!e)
		return code;
	va_start(ap, format);
	error_setv(&line, code, format, ap);
	va_end(ap);
	*e = (struct bop_error){ .code = code };
	snprintf(e->text, sizeof(e->text), "%s", line.text);
	return code;
}

static bool is_tcp(const char *url)
{
	const char *colon = strrchr(url, ':');

	return !strncmp(url, "tcp://", 6) && colon > url + 6 && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static int url_set(struct bop *bop, const char *url, struct bop_error *e)
{
	char directory[PATH_MAX];
	struct error why;
	int n;

	if (!url) {
		if (place_server(directory, &why))
			return bop_fail(e, -EINVAL, "%s", why.text);
		n = snprintf(bop->url, sizeof(bop->url), "ipc://%s/api", directory);
	} else if (strncmp(url, "ipc://", 6) && !is_tcp(url)) {
		return bop_fail(e, -EINVAL, "'%s' is no address of a server; it looks like ipc:///run/bop/api or tcp://HOST:7101", url);
	} else {
		n = snprintf(bop->url, sizeof(bop->url), "%s", url);
	}
	return n < (int)sizeof(bop->url) ? 0 : bop_fail(e, -ENAMETOOLONG, "the address of the server is too long");
}

/* A path that leads to nothing shows at once. */
static int somebody_there(const char *url, struct bop_error *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err = 0;

	if (strlen(url + 6) >= sizeof(address.sun_path))
		return bop_fail(e, -ENAMETOOLONG, "%s: this path is too long for a socket", url + 6);
	strcpy(address.sun_path, url + 6);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err = errno == ENOENT || errno == ECONNREFUSED ?
			      bop_fail(e, -ECONNREFUSED, "no server runs at %s (start one with `bop serve`)", url) :
			      bop_fail(e, -errno, "the server at %s: %s", url, strerror(errno));
	if (fd >= 0)
		close(fd);
	return err;
}

static int key_path(char path[PATH_MAX + 32], const char *name, struct error *why)
{
	char folder[PATH_MAX];
	int err = place_keys(NULL, folder, why);

	snprintf(path, PATH_MAX + 32, "%s/%s", folder, name);
	return err;
}

static int keys_set(struct bop *bop, const struct bop_keys *keys, struct bop_error *e)
{
	char path[PATH_MAX + 32], secret[KEY_SIZE], public[KEY_SIZE], server[KEY_SIZE];
	const char *given = keys ? keys->server : NULL;
	struct error why;
	int err = given ? 0 : key_path(path, "server.public", &why);

	if (!err && !given && access(path, F_OK) < 0)
		err = error_set(&why, -errno, "%s: %s (it has the server's public key, as it is on the server)", path, strerror(errno));
	if (!err)
		err = key_read_public(given ? given : path, server, &why);
	given = keys ? keys->secret : NULL;
	if (!err && !given)
		err = key_path(path, "controller.secret", &why);
	if (!err)
		err = key_read_secret(given ? given : path, secret, public, &why);
	if (err)
		return bop_fail(e, err, "TCP needs CURVE keys on both sides: %s", why.text);
	if (zmq_setsockopt(bop->socket, ZMQ_CURVE_SERVERKEY, server, sizeof(server)) < 0 ||
	    zmq_setsockopt(bop->socket, ZMQ_CURVE_PUBLICKEY, public, sizeof(public)) < 0 ||
	    zmq_setsockopt(bop->socket, ZMQ_CURVE_SECRETKEY, secret, sizeof(secret)) < 0)
		err = bop_fail(e, -zmq_errno(), "keys: %s", zmq_strerror(zmq_errno()));
	explicit_bzero(secret, sizeof(secret));
	return err;
}

static int option_set(struct bop *bop, int option, int value)
{
	return zmq_setsockopt(bop->socket, option, &value, sizeof(value));
}

static int sockets_make(struct bop *bop, struct bop_error *e)
{
	bool tcp = is_tcp(bop->url);
	int64_t frame_max = ANSWER_MAX;

	bop->context = zmq_ctx_new();
	bop->socket = bop->context ? zmq_socket(bop->context, ZMQ_DEALER) : NULL;
	bop->monitor = bop->socket ? zmq_socket(bop->context, ZMQ_PAIR) : NULL;
	if (!bop->monitor || option_set(bop, ZMQ_LINGER, 0) < 0 || option_set(bop, ZMQ_RECONNECT_IVL, AGAIN_MS) < 0 ||
	    option_set(bop, ZMQ_HANDSHAKE_IVL, OPEN_MS) < 0 || option_set(bop, ZMQ_IPV6, 1) < 0 ||
	    (tcp && (option_set(bop, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS) < 0 ||
		     option_set(bop, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS) < 0)) ||
	    zmq_setsockopt(bop->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof(frame_max)) < 0 ||
	    zmq_socket_monitor(bop->socket, "inproc://bop", MONITORED) < 0 || zmq_connect(bop->monitor, "inproc://bop") < 0)
		return bop_fail(e, -zmq_errno(), "the server at %s: %s", bop->url, zmq_strerror(zmq_errno()));
	return 0;
}

static int descriptors_make(struct bop *bop, struct bop_error *e)
{
	struct epoll_event event = { .events = EPOLLIN };
	size_t size = sizeof(int);
	int socket = -1, monitor = -1;

	bop->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (bop->ready < 0 || bop->epoll < 0 || zmq_getsockopt(bop->socket, ZMQ_FD, &socket, &size) < 0 ||
	    zmq_getsockopt(bop->monitor, ZMQ_FD, &monitor, &size) < 0 ||
	    epoll_ctl(bop->epoll, EPOLL_CTL_ADD, bop->ready, &event) < 0 ||
	    epoll_ctl(bop->epoll, EPOLL_CTL_ADD, socket, &event) < 0 ||
	    epoll_ctl(bop->epoll, EPOLL_CTL_ADD, monitor, &event) < 0)
		return bop_fail(e, -errno, "cannot wait for the server: %s", strerror(errno));
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What an event means for us: 0: nothing yet, 1: we are in. */
static int meaning(const struct bop *bop, int event, bool connected, struct bop_error *e)
{
	switch (event) {
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		return 1;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		return bop_fail(e, -EACCES, "the server at %s does not let this key in (bop keys --controller allow NAME KEY, there)",
				bop->url);
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
		return bop_fail(e, -EPROTO, "the server at %s is not the one whose key was given, or speaks something else", bop->url);
	case ZMQ_EVENT_CLOSED:
	case ZMQ_EVENT_CONNECT_RETRIED:
	case ZMQ_EVENT_DISCONNECTED:
		return connected ? bop_fail(e, -EPROTO, "the server at %s ended the connection: it is not the one whose key was given, "
					    "or speaks something else", bop->url) :
				   bop_fail(e, -ECONNREFUSED, "no server is at %s (`bop serve --listen-api` makes one listen; is the "
					    "address right?)", bop->url);
	default:
		return 0;
	}
}

static int wait_in(struct bop *bop, struct bop_error *e)
{
	int64_t deadline = now_ms() + OPEN_MS, left;
	bool connected = false;
	int event, err = 0;

	while (!err) {
		event = bop_event(bop);
		if (event) {
			connected |= event == ZMQ_EVENT_CONNECTED;
			err = meaning(bop, event, connected, e);
			continue;
		}
		left = deadline - now_ms();
		if (left <= 0)
			err = bop_fail(e, -ETIMEDOUT, "the server at %s does not answer", bop->url);
		else
			zmq_poll(&(zmq_pollitem_t){ .socket = bop->monitor, .events = ZMQ_POLLIN }, 1, (long)left);
	}
	return err < 0 ? err : 0;
}

int bop_open(const char *url, const struct bop_keys *keys, struct bop **ret_bop, struct bop_error *e)
{
	struct bop *bop = calloc(1, sizeof(*bop));
	int err;

	if (!bop)
		return bop_fail(e, -ENOMEM, "out of memory");
	bop->epoll = bop->ready = -1;
	err = url_set(bop, url, e);
	if (!err && !is_tcp(bop->url))
		err = somebody_there(bop->url, e);
	if (!err)
		err = sockets_make(bop, e);
	if (!err && is_tcp(bop->url))
		err = keys_set(bop, keys, e);
	if (!err && zmq_connect(bop->socket, bop->url) < 0)
		err = bop_fail(e, -zmq_errno(), "the server at %s: %s", bop->url, zmq_strerror(zmq_errno()));
	if (!err)
		err = wait_in(bop, e);
	if (!err)
		err = descriptors_make(bop, e);
	if (err) {
		bop_close(bop);
		return err;
	}
	bop_ready_set(bop);
	*ret_bop = bop;
	return 0;
}

void bop_close(struct bop *bop)
{
	const int none = 0;

	if (!bop)
		return;
	bop_kept_free(bop);
	if (bop->monitor) {
		zmq_socket_monitor(bop->socket, NULL, 0);
		zmq_setsockopt(bop->monitor, ZMQ_LINGER, &none, sizeof(none));
		zmq_close(bop->monitor);
	}
	if (bop->socket)
		zmq_close(bop->socket);
	if (bop->context)
		zmq_ctx_term(bop->context);
	if (bop->epoll >= 0)
		close(bop->epoll);
	if (bop->ready >= 0)
		close(bop->ready);
	free(bop);
}

const char *bop_url(const struct bop *bop)
{
	return bop->url;
}

const char *bop_version(void)
{
	return BOP_VERSION;
}
