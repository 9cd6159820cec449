/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Devices that come into boxes, or go, while there are faults. The kernel tells of them, and each gets the programs as soon as
 * we hear; what went through before is counted by the device itself, and so are packets that the programs cannot read, and
 * those of a device to which nothing could be attached, which is tried again at each count.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/clock.h"
#include "tfj/faults_inside.h"
#include "tfj/netns.h"
#include "tfj/tracer_kernel.h"

#define PAST_NS (2 * CLOCK_SECOND_NS) /* twice INJECT_RENEW_NS */

enum { NEWS_SIZE = 32768 };

int faults_news_open(struct faults *faults, struct faults_place *place, struct error *e)
{
	struct epoll_event event = { .events = EPOLLIN };

	place->news = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!place->news || mnl_socket_bind(place->news, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0 ||
	    epoll_ctl(faults->watch, EPOLL_CTL_ADD, mnl_socket_get_fd(place->news), &event) < 0)
		return error_set(e, -errno, "box %u: new devices of it cannot be watched for: %s", place->box, strerror(errno));
	return 0;
}

void faults_news_close(struct faults_place *place)
{
	if (place->news)
		mnl_socket_close(place->news);
	place->news = NULL;
}

int faults_watch_fd(const struct faults *faults)
{
	return faults->watch;
}

bool faults_packets_through(const char *name, uint32_t *ret_packets)
{
	struct ifaddrs *list = NULL;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
		const struct rtnl_link_stats *stats = at->ifa_data; /* of the device itself, not of its addresses */

		if (!stats || strcmp(at->ifa_name, name) != 0)
			continue;
		*ret_packets = stats->rx_packets + stats->tx_packets;
		found = true;
	}
	freeifaddrs(list);
	return found;
}

/* Longer than since the last look: no packet that is counted now can have met it. */
static bool is_past(const struct rule *rule, uint64_t now)
{
	uint32_t state = __atomic_load_n(&rule->state, __ATOMIC_SEQ_CST);

	if (state == RULE_FIRED)
		return rule->deadline && rule->deadline + PAST_NS < now;
	return state == RULE_WOULD_FIRE || state == RULE_CROWDED;
}

/* Rules that packets would have met? */
static bool packets_matter(const struct faults *faults)
{
	uint64_t now = clock_monotonic_ns();

	for (uint32_t id = 1; id < faults->top; id++)
		if (faults->armed[id].kind && faults->armed[id].counted != COUNTED_NOT && !faults->armed[id].ended_ns &&
		    !is_past(&faults->rules[id], now))
			return true;
	return false;
}

/* packets: a difference of counters; one that went back says nothing. */
static void missed_add(struct faults *faults, uint32_t packets)
{
	if ((int32_t)packets > 0 && packets_matter(faults))
		faults->missed += packets;
}

/* Do its packets count when they pass? Those without Ethernet headers of a guest may be anybody's. */
static bool counts(const struct faults_place *place, const struct faults_device *device)
{
	return device->sight == DEVICE_REFUSED || (device->sight == DEVICE_BLIND && !place->guest);
}

/* before: packets that had gone through it when it came. */
static void device_came(struct faults *faults, struct faults_place *place, unsigned int index, const char *name, uint32_t before)
{
	struct faults_device *device = faults_device_find(place, index);
	bool seen = device && device->sight == DEVICE_SEEN, known = device != NULL;
	uint32_t packets;
	struct error why;
	int err = faults_device_add(faults, place, index, name, &why);

	if (err)
		faults->why = why;
	device = faults_device_find(place, index);
	if (!device) {
		place->stale |= err != 0;
		return;
	}
	if (!known || (seen && err && !faults_packets_through(name, &device->packets)))
		device->packets = before;
	if (seen || device->sight != DEVICE_SEEN)
		return;
	if (faults_packets_through(name, &packets))
		missed_add(faults, packets - device->packets);
	else
		device->sight = DEVICE_REFUSED; /* until they can be counted */
}

/* otherwise: if nothing is told of it. */
static uint32_t packets_told(const struct nlmsghdr *news, uint32_t otherwise)
{
	const struct rtnl_link_stats *stats;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, news, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attr) != IFLA_STATS || mnl_attr_get_payload_len(attr) < 2 * sizeof(uint32_t))
			continue;
		stats = mnl_attr_get_payload(attr);
		return stats->rx_packets + stats->tx_packets;
	}
	return otherwise;
}

/* news: how many packets had gone through it in the end. */
static void device_went(struct faults *faults, struct faults_place *place, const struct nlmsghdr *news, unsigned int index)
{
	const struct faults_device *device = faults_device_find(place, index);

	if (device && counts(place, device))
		missed_add(faults, packets_told(news, device->packets) - device->packets);
	faults_device_remove(place, index);
}

struct place_of {
	struct faults *faults;
	struct faults_place *place;
};

static int on_news(const struct nlmsghdr *news, void *arg)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(news);
	const struct place_of *of = arg;
	char name[IF_NAMESIZE];

	if (mnl_nlmsg_get_payload_len(news) < sizeof(*link) || link->ifi_family != AF_UNSPEC)
		return MNL_CB_OK;
	if (news->nlmsg_type == RTM_DELLINK)
		device_went(of->faults, of->place, news, (unsigned int)link->ifi_index);
	else if (news->nlmsg_type == RTM_NEWLINK && if_indextoname((unsigned int)link->ifi_index, name))
		device_came(of->faults, of->place, (unsigned int)link->ifi_index, name, packets_told(news, 0));
	else if (news->nlmsg_type == RTM_NEWLINK && errno != ENXIO) /* else it has gone already */
		of->place->stale = true;
	return MNL_CB_OK;
}

static bool is_listed(const struct if_nameindex *names, unsigned int index)
{
	for (; names->if_index; names++)
		if (names->if_index == index)
			return true;
	return false;
}

/* What is there now counts. The caller is in the namespace. */
static void look_again(struct faults *faults, struct faults_place *place)
{
	struct if_nameindex *names = if_nameindex();

	if (!names) {
		error_set(&faults->why, -errno, "box %u: its devices cannot be listed: %s", place->box, strerror(errno));
		return;
	}
	place->stale = false;
	for (size_t i = place->n_devices; i--;)
		if (!is_listed(names, place->devices[i].index))
			faults_device_remove(place, place->devices[i].index);
	for (size_t i = 0; names[i].if_index; i++)
		device_came(faults, place, names[i].if_index, names[i].if_name, 0);
	if_freenameindex(names);
}

static void news_read(struct faults *faults, struct faults_place *place)
{
	struct place_of of = { faults, place };
	char buf[NEWS_SIZE];
	ssize_t n;
	int home = -1;

	for (;;) {
		n = mnl_socket_recvfrom(place->news, buf, sizeof(buf));
		if (n < 0 && errno != ENOBUFS && errno != ENOSPC)
			break;
		home = home < 0 ? netns_enter(place->netns) : home;
		if (home < 0 || n < 0 || mnl_cb_run(buf, (size_t)n, 0, 0, on_news, &of) < 0)
			place->stale = true;
	}
	if (home < 0)
		return;
	if (place->stale)
		look_again(faults, place);
	netns_leave(home);
}

void faults_watch(struct faults *faults)
{
	struct epoll_event event;

	if (epoll_wait(faults->watch, &event, 1, 0) <= 0)
		return;
	tracer_quiet();
	for (size_t i = 0; i < faults->n_places; i++)
		news_read(faults, &faults->places[i]);
}

/* Is one tried again, or its packets counted? The caller is in the namespace. */
static void device_look(struct faults *faults, struct faults_place *place, struct faults_device *device)
{
	char name[IF_NAMESIZE];
	uint32_t packets;

	if (!counts(place, device) || !if_indextoname(device->index, name))
		return;
	if (device->sight == DEVICE_REFUSED)
		device_came(faults, place, device->index, name, 0);
	if (!counts(place, device) || !faults_packets_through(name, &packets))
		return;
	missed_add(faults, packets - device->packets);
	device->packets = packets;
}

static void place_look(struct faults *faults, struct faults_place *place)
{
	bool wanted = place->stale;
	int home;

	for (size_t i = 0; i < place->n_devices; i++)
		wanted |= counts(place, &place->devices[i]);
	if (!wanted)
		return;
	home = netns_enter(place->netns);
	if (home < 0)
		error_set(&faults->why, home, "box %u: its network namespace cannot be entered: %s", place->box, strerror(-home));
	else if (place->stale)
		look_again(faults, place);
	for (size_t i = 0; home >= 0 && i < place->n_devices; i++)
		device_look(faults, place, &place->devices[i]);
	if (home >= 0)
		netns_leave(home);
	if (place->stale)
		missed_add(faults, 1); /* nobody knows how many: it is told at least */
}

uint64_t faults_missed(struct faults *faults, struct error *ret_why)
{
	uint64_t missed;

	tracer_quiet();
	for (size_t i = 0; i < faults->n_places; i++)
		place_look(faults, &faults->places[i]);
	missed = faults->missed;
	*ret_why = faults->why;
	faults->missed = 0;
	*faults->why.text = '\0';
	return missed;
}
