/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Boxes as network namespaces. Must not know of processes or of tracing.
 *
 * The calling thread walks through the new namespaces (unshare) and returns to its own; other threads never notice.
 * Sockets opened on the way stay in the namespace they were opened in, so that everything after that needs no more
 * walking. On a failure all descriptors are closed, and with them all that was made is gone.
 */
#include "tfj/box.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tfj/container.h"
#include "tfj/enter.h"
#include "tfj/netns.h"
#include "tfj/rtnl.h"
#include "tfj/served.h"

enum {
	BRIDGE_INDEX = 2,
	PORT_INDEX = 1000, /* + N. Unlike the peer's, or else the kernel takes its time to tell that the link is up */
	BOX_INDEX = 2,	   /* of eth0 inside a box */
	WAIT_TRIES = 2000, /* of a millisecond, for the kernel to finish; it takes a few at most unless the machine is busy */
};

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int box_name_check(const char *name, struct error *e)
{
	size_t len = strlen(name);

	if (!len || len > 63 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != len ||
	    !isalnum((unsigned char)name[0]) || !isalnum((unsigned char)name[len - 1]))
		return error_set(e, -EINVAL,
				 "'%s' cannot be the name of a box: use letters, digits, '-' and '.', at most 63", name);
	if (!strcasecmp(name, "localhost"))
		return error_set(e, -EINVAL, "a box cannot be called localhost");
	return 0;
}

static int name_check(char *const *names, size_t i, struct error *e)
{
	int err = box_name_check(names[i], e);

	if (err)
		return err;
	for (size_t k = 0; k < i; k++)
		if (!strcasecmp(names[k], names[i]))
			return error_set(e, -EINVAL, "there are two boxes called '%s'", names[i]);
	return 0;
}

/* New namespaces would wait for addresses to be found unique; here they are. Absent without IPv6. */
static void skip_address_detection(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/accept_dad", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "0", 1) < 0)
		errno = 0; /* link-local addresses come a second later then; ours do not wait */
	close(fd);
}

int box_cookie(uint64_t *ret_cookie)
{
	socklen_t len = sizeof(*ret_cookie);
	int err, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	err = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Moves the calling thread into a new namespace. */
static int netns_new(int *ret_netns, uint64_t *ret_cookie, struct rtnl **ret_rtnl)
{
	int err;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	*ret_netns = netns_own();
	if (*ret_netns < 0)
		return *ret_netns;
	skip_address_detection();
	err = ret_cookie ? box_cookie(ret_cookie) : 0;
	if (err)
		return err;
	return rtnl_open(ret_rtnl);
}

static void box_number(struct box *box, uint32_t n)
{
	*box = (struct box){ .index = n, .netns = -1 };
	snprintf(box->address, sizeof(box->address), "10.83.0.%u", n);
	snprintf(box->address6, sizeof(box->address6), "fd83::%x", n);
	box->ip4[10] = box->ip4[11] = 0xff;
	inet_pton(AF_INET, box->address, box->ip4 + 12);
	inet_pton(AF_INET6, box->address6, box->ip6);
}

/* All namespaces first: a pair needs both. rtnl[0] is the hub's. */
static int namespaces_make(struct boxes *boxes, struct rtnl **rtnl, struct error *e)
{
	int home = netns_own(), err, back;

	if (home < 0)
		return error_set(e, home, "cannot open /proc/thread-self/ns/net: %s", strerror(-home));
	err = netns_new(&boxes->hub, NULL, &rtnl[0]);
	for (size_t i = 0; i < boxes->n && !err; i++)
		err = netns_new(&boxes->box[i].netns, &boxes->box[i].cookie, &rtnl[i + 1]);
	back = netns_leave(home);
	err = err ? err : back;
	return err ? error_set(e, err, "cannot make a network namespace: %s%s", strerror(-err),
			       err == -EPERM ? " (tfj must run as root)" : "") :
		     0;
}

/*
 * A port forwards, and an IPv6 address answers, only when a worker of the kernel has been there. A packet that comes
 * too early is lost and costs the program that sent it a second.
 */
static int network_wait(const struct boxes *boxes, struct rtnl **rtnl, struct error *e)
{
	static const uint8_t any6[16];
	const struct timespec pause = { .tv_nsec = 1000000 };
	int tries = 0, done;

	for (size_t i = 0; i < boxes->n; i++) {
		const struct box *box = &boxes->box[i];

		for (;;) {
			done = rtnl_port_forwards(rtnl[0], PORT_INDEX + i + 1);
			if (done == 1 && memcmp(box->ip6, any6, 16) != 0)
				done = rtnl_address_works(rtnl[i + 1], box->ip6);
			if (done == 1)
				break;
			if (done == 0 && ++tries > WAIT_TRIES)
				done = -ETIMEDOUT;
			if (done < 0)
				return error_set(e, done, "the network of box '%s' does not come up: %s", box->name,
						 strerror(-done));
			nanosleep(&pause, NULL);
		}
	}
	return 0;
}

static int network_make(struct boxes *boxes, struct rtnl **rtnl, struct error *e)
{
	static const uint8_t any6[16];
	char port[16];
	int err;

	rtnl_bridge(rtnl[0], "bop0", BRIDGE_INDEX);
	for (size_t i = 0; i < boxes->n; i++) {
		snprintf(port, sizeof(port), "port%u", (unsigned)(i % BOX_MAX) + 1);
		rtnl_veth(rtnl[0], port, PORT_INDEX + i + 1, BRIDGE_INDEX, "eth0", boxes->box[i].netns);
	}
	err = rtnl_flush(rtnl[0]);
	if (err)
		return error_set(e, err, "cannot make the bridge of the boxes: %s%s", strerror(-err),
				 err == -EOPNOTSUPP ? " (this kernel lacks bridge or veth)" : "");
	for (size_t i = 0; i < boxes->n; i++) {
		struct box *box = &boxes->box[i];

		rtnl_up(rtnl[i + 1], "lo");
		rtnl_up(rtnl[i + 1], "eth0");
		rtnl_address(rtnl[i + 1], BOX_INDEX, box->ip4, 24);
		if (memcmp(box->ip6, any6, 16) != 0)
			rtnl_address(rtnl[i + 1], BOX_INDEX, box->ip6, 64);
		err = rtnl_flush(rtnl[i + 1]);
		if (err)
			return error_set(e, err, "cannot set up the network of box '%s': %s", box->name, strerror(-err));
	}
	return network_wait(boxes, rtnl, e);
}

static int names_check(char *const *names, size_t *ret_n, struct error *e)
{
	size_t n = 0;
	int err = 0;

	for (; names[n] && !err; n++)
		err = n < BOX_MAX ? name_check(names, n, e) :
				    error_set(e, -E2BIG, "too many boxes: at most %d fit on one machine", BOX_MAX);
	if (!err && !n)
		err = error_set(e, -EINVAL, "a run needs at least one box");
	*ret_n = n;
	return err;
}

static struct boxes *boxes_new(size_t n)
{
	struct boxes *boxes = calloc(1, sizeof(*boxes));

	if (!boxes)
		return NULL;
	boxes->hub = -1;
	boxes->box = calloc(n, sizeof(*boxes->box));
	if (boxes->box)
		return boxes;
	free(boxes);
	return NULL;
}

int boxes_open(char *const *names, struct boxes **ret_boxes, struct error *e)
{
	bool has_ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;
	struct boxes *boxes = NULL;
	struct rtnl **rtnl = NULL;
	size_t n = 0;
	int err = names_check(names, &n, e);

	if (err)
		return err;
	boxes = boxes_new(n);
	rtnl = calloc(n + 1, sizeof(struct rtnl *));
	if (!boxes || !rtnl) {
		err = error_set(e, -ENOMEM, "out of memory");
		goto out;
	}
	for (boxes->n = 0; boxes->n < n; boxes->n++) {
		struct box *box = &boxes->box[boxes->n];

		box_number(box, boxes->n + 1);
		snprintf(box->name, sizeof(box->name), "%s", names[boxes->n]);
		if (!has_ipv6) {
			memset(box->ip6, 0, sizeof(box->ip6));
			box->address6[0] = '\0';
		}
	}
	boxes->n_known = boxes->n;
	err = namespaces_make(boxes, rtnl, e);
	if (!err)
		err = network_make(boxes, rtnl, e);
out:
	for (size_t i = 0; rtnl && i <= n; i++)
		rtnl_close(rtnl[i]);
	free(rtnl);
	if (err)
		boxes_close(boxes);
	else
		*ret_boxes = boxes;
	return err;
}

/* One that is served, as it is now. */
static int guest_take(const struct box *from, const char *name, const struct containers *containers, struct box *box, struct error *e)
{
	*box = *from;
	snprintf(box->name, sizeof(box->name), "%s", name); /* as the experiment writes it, small or large */
	if (from->container)
		return served_container(box, containers, e);
	box->netns = fcntl(from->netns, F_DUPFD_CLOEXEC, 3);
	return box->netns < 0 ? error_set(e, -errno, "box '%s': %s", box->name, strerror(errno)) : 0;
}

int boxes_guests(char *const *names, const struct served *served, struct boxes **ret_boxes, struct error *e)
{
	struct containers containers = { 0 };
	struct boxes *boxes = NULL;
	size_t n = 0;
	int err = names_check(names, &n, e);

	if (err)
		return err;
	boxes = boxes_new(n);
	if (!boxes)
		return error_set(e, -ENOMEM, "out of memory");
	if (served_has_container(served))
		err = containers_read(&containers, e);
	while (boxes->n < n && !err) {
		const struct box *from = served_find(served, names[boxes->n]);
		struct box *box = &boxes->box[boxes->n];

		if (!from || !from->guest) {
			err = error_set(e, -ENOENT, "this agent serves no box '%s'", names[boxes->n]);
			break;
		}
		err = guest_take(from, names[boxes->n], &containers, box, e);
		box->index = (uint32_t)++boxes->n;
	}
	boxes->n_known = boxes->n;
	if (!err)
		err = served_differ(boxes->box, boxes->n, e);
	containers_free(&containers);
	if (err)
		boxes_close(boxes);
	else
		*ret_boxes = boxes;
	return err;
}

static int peer_fill(struct boxes *boxes, struct box *box, const struct trace_box *peer, struct error *e)
{
	int err = box_name_check(peer->name, e);

	for (size_t i = 0; i < boxes->n_known && !err; i++)
		if (!strcasecmp(boxes->box[i].name, peer->name))
			err = error_set(e, -EINVAL, "there are two boxes called '%s'", peer->name);
	if (err)
		return err;
	*box = (struct box){ .netns = -1, .index = (uint32_t)boxes->n_known + 1 };
	snprintf(box->name, sizeof(box->name), "%s", peer->name);
	snprintf(box->address, sizeof(box->address), "%s", peer->address);
	snprintf(box->address6, sizeof(box->address6), "%s", peer->address6);
	box->ip4[10] = box->ip4[11] = 0xff;
	if (inet_pton(AF_INET, peer->address, box->ip4 + 12) != 1 ||
	    (*peer->address6 && inet_pton(AF_INET6, peer->address6, box->ip6) != 1))
		return error_set(e, -EINVAL, "box '%s' of another agent has no address", box->name);
	return 0;
}

int boxes_peers(struct boxes *boxes, const struct trace_box *peers, size_t n, struct error *e)
{
	struct box *grown;
	int err = 0;

	if (boxes->n_known + n > BOX_MAX)
		return error_set(e, -E2BIG, "too many boxes: at most %d in a run", BOX_MAX);
	grown = realloc(boxes->box, (boxes->n_known + n + 1) * sizeof(*grown));
	if (!grown)
		return error_set(e, -ENOMEM, "out of memory");
	boxes->box = grown;
	for (size_t i = 0; i < n && !err; i++) {
		err = peer_fill(boxes, &grown[boxes->n_known], &peers[i], e);
		boxes->n_known += !err;
	}
	return err;
}

void boxes_close(struct boxes *boxes)
{
	if (!boxes)
		return;
	for (size_t i = 0; boxes->box && i < boxes->n; i++) {
		if (boxes->box[i].netns >= 0)
			close(boxes->box[i].netns);
		if (boxes->box[i].enter)
			enter_close(boxes->box[i].enter);
		free(boxes->box[i].enter);
	}
	if (boxes->hub >= 0)
		close(boxes->hub);
	free(boxes->box);
	free(boxes);
}

const struct box *boxes_find(const struct boxes *boxes, const char *name)
{
	for (size_t i = 0; i < boxes->n; i++)
		if (!strcmp(boxes->box[i].name, name))
			return &boxes->box[i];
	return NULL;
}

const struct box *boxes_at(const struct boxes *boxes, const uint8_t ip[16])
{
	static const uint8_t any6[16];

	if (!memcmp(ip, any6, 16))
		return NULL;
	for (size_t i = 0; i < boxes->n_known; i++)
		if (!memcmp(boxes->box[i].ip4, ip, 16) || !memcmp(boxes->box[i].ip6, ip, 16))
			return &boxes->box[i];
	return NULL;
}

char *boxes_hosts(const struct boxes *boxes)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fprintf(f, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	for (size_t i = 0; i < boxes->n_known; i++)
		fprintf(f, "%s\t%s\n", boxes->box[i].address, boxes->box[i].name);
	for (size_t i = 0; i < boxes->n_known; i++)
		if (boxes->box[i].address6[0])
			fprintf(f, "%s\t%s.v6\n", boxes->box[i].address6, boxes->box[i].name);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
