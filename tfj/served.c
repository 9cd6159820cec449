/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See served.h. The calling thread visits a namespace to look at its addresses, and returns to its own. */
#include "tfj/served.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tfj/enter.h"
#include "tfj/netns.h"

#define CONTAINER "container:"

#define NSFS_MAGIC_NUMBER 0x6e736673 /* linux/magic.h: NSFS_MAGIC */

static void path_of(const char *netns, char path[PATH_MAX])
{
	if (!strcmp(netns, "host"))
		snprintf(path, PATH_MAX, "/proc/self/ns/net");
	else
		snprintf(path, PATH_MAX, "%s%s", strchr(netns, '/') ? "" : "/run/netns/", netns);
}

static int netns_open(const char *name, const char *netns, int *ret_netns, struct error *e)
{
	char path[PATH_MAX];
	struct statfs fs;
	int fd;

	path_of(netns, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set(e, -errno, "box '%s': there is no network namespace '%s' (%s: %s; `ip netns` lists them)", name,
				 netns, path, strerror(errno));
	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC_NUMBER) {
		close(fd);
		return error_set(e, -EINVAL, "box '%s': %s is not a network namespace", name, path);
	}
	*ret_netns = fd;
	return 0;
}

/* An address that says where in the network we are. */
static bool is_global(const struct sockaddr *address)
{
	const struct in6_addr *ip6 = &((const struct sockaddr_in6 *)address)->sin6_addr;

	return address->sa_family == AF_INET || (address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(ip6));
}

static void address_take(struct box *box, const struct sockaddr *address)
{
	const struct in_addr *ip4 = &((const struct sockaddr_in *)address)->sin_addr;
	const struct in6_addr *ip6 = &((const struct sockaddr_in6 *)address)->sin6_addr;

	if (address->sa_family == AF_INET && !*box->address) {
		inet_ntop(AF_INET, ip4, box->address, sizeof(box->address));
		box->ip4[10] = box->ip4[11] = 0xff;
		memcpy(box->ip4 + 12, ip4, 4);
	} else if (address->sa_family == AF_INET6 && !*box->address6) {
		inet_ntop(AF_INET6, ip6, box->address6, sizeof(box->address6));
		memcpy(box->ip6, ip6, 16);
	}
}

static bool is_usable(const struct ifaddrs *at)
{
	return at->ifa_addr && at->ifa_flags & IFF_UP && !(at->ifa_flags & IFF_LOOPBACK) && is_global(at->ifa_addr);
}

/* The one with this IPv4 address, or NULL. */
static const struct ifaddrs *address_find(const struct ifaddrs *list, struct in_addr wanted)
{
	for (const struct ifaddrs *at = list; at; at = at->ifa_next)
		if (is_usable(at) && at->ifa_addr->sa_family == AF_INET &&
		    ((const struct sockaddr_in *)at->ifa_addr)->sin_addr.s_addr == wanted.s_addr)
			return at;
	return NULL;
}

/* In the namespace. wanted: the IPv4 address to take, with the first IPv6 address of its device; NULL: the first of all. */
static int addresses_find(struct box *box, const struct in_addr *wanted)
{
	const struct ifaddrs *one;
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) < 0)
		return -errno;
	one = wanted ? address_find(list, *wanted) : NULL;
	if (one)
		address_take(box, one->ifa_addr);
	for (struct ifaddrs *at = list; at && (one || !wanted); at = at->ifa_next)
		if (is_usable(at) && (!one || !strcmp(at->ifa_name, one->ifa_name)))
			address_take(box, at->ifa_addr);
	freeifaddrs(list);
	return *box->address ? 0 : -EADDRNOTAVAIL;
}

/* wanted: as addresses_find() has it. */
static int netns_look(struct box *box, const char *netns, const struct in_addr *wanted, struct error *e)
{
	int home = netns_enter(box->netns), err = home < 0 ? home : 0, back = 0;

	if (!err)
		err = box_cookie(&box->cookie);
	if (!err)
		err = addresses_find(box, wanted);
	if (home >= 0)
		back = netns_leave(home);
	err = err ? err : back;
	if (err == -EADDRNOTAVAIL && wanted)
		return error_set(e, err, "box '%s': the network namespace '%s' has no such address now (`ip address` there lists those "
				 "that it has)", box->name, netns);
	if (err == -EADDRNOTAVAIL)
		return error_set(e, err, "box '%s': the network namespace '%s' has no IPv4 address besides its loopback: other "
				 "boxes could not reach it", box->name, netns);
	return err ? error_set(e, err, "box '%s': cannot look into the network namespace '%s': %s", box->name, netns,
			       strerror(-err)) :
		     0;
}

int served_container(struct box *box, const struct containers *containers, struct error *e)
{
	const struct container *container = NULL;
	struct enter *enter = calloc(1, sizeof(*enter));
	int err;

	box->netns = -1;
	box->enter = NULL;
	if (!enter)
		return error_set(e, -ENOMEM, "out of memory");
	err = containers_find(containers, box->container, &container, e);
	if (!err)
		err = enter_open(container, enter, e);
	if (err) {
		free(enter);
		return error_prefix(e, err, "box '%s'", box->name);
	}
	box->netns = enter->netns;
	enter->netns = -1;
	box->enter = enter;
	*box->address = *box->address6 = '\0';
	memset(box->ip6, 0, sizeof(box->ip6));
	return netns_look(box, box->container - strlen(CONTAINER), NULL, e);
}

static int container_open(struct box *box, struct error *e)
{
	struct containers containers = { 0 };
	int err = containers_read(&containers, e);

	if (!err)
		err = served_container(box, &containers, e);
	containers_free(&containers);
	if (box->enter)
		enter_close(box->enter);
	free(box->enter);
	box->enter = NULL;
	return err;
}

/* spec: NETNS, or NETNS@ADDRESS. */
static int there_open(struct box *box, const char *spec, struct error *e)
{
	const char *at = strrchr(spec, '@');
	struct in_addr wanted;
	bool chosen = at && inet_pton(AF_INET, at + 1, &wanted) == 1;
	char netns[PATH_MAX - 16];
	int err;

	snprintf(netns, sizeof(netns), "%.*s", chosen ? (int)(at - spec) : (int)strlen(spec), spec);
	err = netns_open(box->name, netns, &box->netns, e);
	return err ? err : netns_look(box, spec, chosen ? &wanted : NULL, e);
}

static int one_open(struct served *served, const char *spec, struct error *e)
{
	struct box *box = &served->box[served->n];
	const char *equals = strchrnul(spec, '=');
	int err;

	*box = (struct box){ .netns = -1 };
	if (equals - spec >= (ptrdiff_t)sizeof(box->name))
		return error_set(e, -EINVAL, "'%s': the name of a box has at most 63 characters", spec);
	snprintf(box->name, sizeof(box->name), "%.*s", (int)(equals - spec), spec);
	err = box_name_check(box->name, e);
	if (!err && served_find(served, box->name))
		err = error_set(e, -EINVAL, "there are two boxes called '%s'", box->name);
	if (!err && *equals && !strncmp(equals + 1, CONTAINER, strlen(CONTAINER)))
		box->container = equals + 1 + strlen(CONTAINER);
	if (err)
		return err;
	served->n++;
	box->guest = *equals;
	if (box->guest != served->box[0].guest)
		return error_set(e, -EINVAL, "boxes '%s' and '%s' have no network in common: give all of an agent's boxes a "
				 "network namespace, or none", served->box[0].name, box->name);
	if (box->container)
		return container_open(box, e);
	return *equals ? there_open(box, equals + 1, e) : 0;
}

int served_moved(const struct box *box, const struct box *known, struct error *e)
{
	bool six = !strcmp(box->address, known->address);
	const char *now = six ? box->address6 : box->address, *then = six ? known->address6 : known->address;

	if (!strcmp(now, then))
		return 0;
	return error_set(e, -EADDRNOTAVAIL, "box '%s': its container is at %s now, and was at %s when this agent began: start tfj again",
			 box->name, *now ? now : "no IPv6 address", *then ? then : "none");
}

int served_differ(const struct box *boxes, size_t n, struct error *e)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (boxes[i].guest && boxes[i].cookie == boxes[k].cookie)
				return error_set(e, -EINVAL, "boxes '%s' and '%s' are the same network namespace%s", boxes[k].name,
						 boxes[i].name, boxes[i].container && boxes[k].container ?
						 ", as of containers in one pod: name one of them, and attach processes of both to its box" : "");
	return 0;
}

bool served_has_container(const struct served *served)
{
	for (size_t i = 0; i < served->n; i++)
		if (served->box[i].container)
			return true;
	return false;
}

void served_rest(struct served *served)
{
	for (size_t i = 0; i < served->n; i++) {
		if (!served->box[i].container || served->box[i].netns < 0)
			continue;
		close(served->box[i].netns);
		served->box[i].netns = -1;
	}
}

/* NAME=container:ID? */
static int maybe_open(struct served *served, char *spec, size_t length, struct error *e)
{
	size_t before = served->n;
	int err;

	spec[length - 1] = '\0';
	err = one_open(served, spec, e);
	if (err != -ENOENT && err != -ESRCH) /* none of the name, or it has just ended */
		return err;
	fprintf(stderr, "tfj: %s: the box is left out\n", e->text);
	served->n = before;
	return 0;
}

int served_open(char *const *specs, size_t n, struct served *served, struct error *e)
{
	int err = 0;

	served->n = 0;
	for (size_t i = 0; i < n && !err; i++) {
		size_t length = strlen(specs[i]);

		err = strstr(specs[i], "=" CONTAINER) && specs[i][length - 1] == '?' ? maybe_open(served, specs[i], length, e) :
										      one_open(served, specs[i], e);
	}
	if (!err && n && !served->n)
		err = error_set(e, -ENOENT, "none of the containers that are boxes of this agent runs here; start it again when one does");
	if (!err)
		err = served_differ(served->box, served->n, e);
	if (err)
		served_close(served);
	return err;
}

void served_close(struct served *served)
{
	for (size_t i = 0; i < served->n; i++)
		if (served->box[i].netns >= 0)
			close(served->box[i].netns);
	served->n = 0;
}

const struct box *served_find(const struct served *served, const char *name)
{
	for (size_t i = 0; i < served->n; i++)
		if (!strcasecmp(served->box[i].name, name))
			return &served->box[i];
	return NULL;
}

struct trace_box *served_rows(const struct served *served)
{
	struct trace_box *rows = calloc(served->n + 1, sizeof(*rows));

	for (size_t i = 0; rows && i < served->n; i++)
		rows[i] = (struct trace_box){ (char *)served->box[i].name, (char *)served->box[i].address,
					      (char *)served->box[i].address6 };
	return rows;
}
