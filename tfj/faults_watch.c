/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Devices that come into boxes, or go, while there are faults. The kernel tells of them, and each gets the programs as soon as
 * we hear; what went through before is counted by the device itself, and so are packets that the programs cannot read.
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

uint32_t faults_packets_through(const char *name, uint32_t otherwise)
{
	struct ifaddrs *list = NULL;
	uint32_t packets = otherwise;

	if (getifaddrs(&list) < 0)
		return otherwise;
	for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
		const struct rtnl_link_stats *stats = at->ifa_data; /* of the device itself, not of its addresses */

		if (stats && !strcmp(at->ifa_name, name))
			packets = stats->rx_packets + stats->tx_packets;
	}
	freeifaddrs(list);
	return packets;
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

/* before: packets that had gone through it when it came. */
static void device_came(struct faults *faults, struct faults_place *place, unsigned int index, const char *name, uint32_t before)
{
	struct faults_device *device = faults_device_find(place, index);
	bool known = device != NULL;
	struct error e;
	int err = faults_device_add(faults, place, index, name, &e);

	if (known)
		return;
	device = faults_device_find(place, index);
	if (device)
		device->blind |= err != 0;
	if (device && device->blind)
		device->packets = before;
	else
		missed_add(faults, faults_packets_through(name, before) - before);
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

	if (device && device->blind && !place->guest)
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
	return MNL_CB_OK;
}

/* News were lost: what is there now counts. */
static void look_again(struct faults *faults, struct faults_place *place)
{
	struct if_nameindex *names = if_nameindex();
	char name[IF_NAMESIZE];

	for (size_t i = place->n_devices; i--;)
		if (!if_indextoname(place->devices[i].index, name))
			faults_device_remove(place, place->devices[i].index);
	for (size_t i = 0; names && names[i].if_index; i++)
		device_came(faults, place, names[i].if_index, names[i].if_name, 0);
	if (names)
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
		if (n < 0 && errno != ENOBUFS)
			break;
		home = home < 0 ? netns_enter(place->netns) : home;
		if (home < 0)
			break;
		if (n < 0)
			look_again(faults, place);
		else
			mnl_cb_run(buf, (size_t)n, 0, 0, on_news, &of);
	}
	if (home >= 0)
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

/* Through devices of a box whose packets nobody can look at. */
static void blind_count(struct faults *faults, struct faults_place *place)
{
	char name[IF_NAMESIZE];
	int home = -1;

	for (size_t i = 0; i < place->n_devices; i++) {
		struct faults_device *device = &place->devices[i];
		uint32_t packets;

		if (!device->blind)
			continue;
		home = home < 0 ? netns_enter(place->netns) : home;
		if (home < 0 || !if_indextoname(device->index, name))
			continue;
		packets = faults_packets_through(name, device->packets);
		missed_add(faults, packets - device->packets);
		device->packets = packets;
	}
	if (home >= 0)
		netns_leave(home);
}

uint64_t faults_missed(struct faults *faults)
{
	uint64_t missed;

	for (size_t i = 0; i < faults->n_places; i++)
		if (!faults->places[i].guest)
			blind_count(faults, &faults->places[i]);
	missed = faults->missed;
	faults->missed = 0;
	return missed;
}
