/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * rtnetlink by libmnl. Knows nothing of boxes.
 *
 * Only the last request of a batch asks for an acknowledgement: the kernel works through a batch in order and reports
 * every failure anyway, so the last answer means that all were done.
 */
#include "tfj/rtnl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tfj/netns.h"

enum { BATCH_SIZE = 16384, REQUEST_MAX = 512, ANSWER_SIZE = 32768, PEER_INDEX = 2 };

struct rtnl {
	struct mnl_socket *socket;
	unsigned char batch[BATCH_SIZE];
	size_t used;
	struct nlmsghdr *last;
	unsigned seq;
	int err; /* first failure */
};

int rtnl_open(struct rtnl **ret_rtnl)
{
	struct rtnl *rtnl = calloc(1, sizeof(*rtnl));
	int err;

	if (!rtnl)
		return -ENOMEM;
	rtnl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!rtnl->socket || mnl_socket_bind(rtnl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		rtnl_close(rtnl);
		return err;
	}
	*ret_rtnl = rtnl;
	return 0;
}

int rtnl_open_in(int netns, struct rtnl **ret_rtnl)
{
	int home = netns_enter(netns), err, back;

	if (home < 0)
		return home;
	err = rtnl_open(ret_rtnl);
	back = netns_leave(home);
	if (back && !err)
		rtnl_close(*ret_rtnl);
	return err ? err : back;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (!rtnl)
		return;
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
	free(rtnl);
}

static int on_answer(const struct nlmsghdr *header, void *arg)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(header);
	struct rtnl *rtnl = arg;

	if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < mnl_nlmsg_size(sizeof(*answer)))
		return MNL_CB_OK;
	if (answer->error && !rtnl->err)
		rtnl->err = answer->error;
	return header->nlmsg_seq == rtnl->seq ? MNL_CB_STOP : MNL_CB_OK;
}

static void batch_send(struct rtnl *rtnl)
{
	unsigned char answer[ANSWER_SIZE];
	int more = MNL_CB_OK;
	ssize_t size;

	if (!rtnl->used)
		return;
	rtnl->last->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(rtnl->socket, rtnl->batch, rtnl->used) < 0) {
		if (!rtnl->err)
			rtnl->err = -errno;
		more = MNL_CB_STOP;
	}
	rtnl->used = 0;
	rtnl->last = NULL;
	while (more == MNL_CB_OK) {
		struct nlmsghdr *header = (struct nlmsghdr *)answer;
		int left;

		size = mnl_socket_recvfrom(rtnl->socket, answer, sizeof(answer));
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0) {
			if (!rtnl->err)
				rtnl->err = -errno;
			break;
		}
		for (left = size; more == MNL_CB_OK && mnl_nlmsg_ok(header, left); header = mnl_nlmsg_next(header, &left))
			more = on_answer(header, rtnl);
	}
}

struct nlmsghdr *rtnl_begin(struct rtnl *rtnl, int type, int flags)
{
	struct nlmsghdr *header;

	if (rtnl->used + REQUEST_MAX > BATCH_SIZE)
		batch_send(rtnl);
	header = mnl_nlmsg_put_header(rtnl->batch + rtnl->used);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = ++rtnl->seq;
	rtnl->last = header;
	return header;
}

void rtnl_end(struct rtnl *rtnl, const struct nlmsghdr *header)
{
	rtnl->used += NLMSG_ALIGN(header->nlmsg_len);
}

static struct nlmsghdr *link_begin(struct rtnl *rtnl, int flags, const char *name, int index, bool up)
{
	struct nlmsghdr *header = rtnl_begin(rtnl, RTM_NEWLINK, flags);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));

	info->ifi_family = AF_UNSPEC;
	info->ifi_index = index;
	info->ifi_flags = info->ifi_change = up ? IFF_UP : 0;
	mnl_attr_put_strz(header, IFLA_IFNAME, name);
	return header;
}

void rtnl_bridge(struct rtnl *rtnl, const char *name, int index)
{
	struct nlmsghdr *header = link_begin(rtnl, NLM_F_CREATE | NLM_F_EXCL, name, index, true);
	struct nlattr *info = mnl_attr_nest_start(header, IFLA_LINKINFO), *data;

	mnl_attr_put_strz(header, IFLA_INFO_KIND, "bridge");
	data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
	/* Without a querier a snooping bridge may hold back the multicasts that IPv6 finds its neighbours with. */
	mnl_attr_put_u8(header, IFLA_BR_MCAST_SNOOPING, 0);
	mnl_attr_put_u32(header, IFLA_BR_STP_STATE, 0);
	mnl_attr_nest_end(header, data);
	mnl_attr_nest_end(header, info);
	rtnl_end(rtnl, header);
}

void rtnl_veth(struct rtnl *rtnl, const char *name, int index, int master, const char *peer_name, int peer_netns)
{
	struct nlmsghdr *header = link_begin(rtnl, NLM_F_CREATE | NLM_F_EXCL, name, index, true);
	struct nlattr *info, *data, *peer;
	struct ifinfomsg *peer_info;

	mnl_attr_put_u32(header, IFLA_MASTER, master);
	info = mnl_attr_nest_start(header, IFLA_LINKINFO);
	mnl_attr_put_strz(header, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(header, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(header, VETH_INFO_PEER);
	peer_info = mnl_nlmsg_put_extra_header(header, sizeof(*peer_info));
	peer_info->ifi_index = PEER_INDEX;
	mnl_attr_put_strz(header, IFLA_IFNAME, peer_name);
	mnl_attr_put_u32(header, IFLA_NET_NS_FD, peer_netns);
	mnl_attr_nest_end(header, peer);
	mnl_attr_nest_end(header, data);
	mnl_attr_nest_end(header, info);
	rtnl_end(rtnl, header);
}

void rtnl_up(struct rtnl *rtnl, const char *name)
{
	rtnl_end(rtnl, link_begin(rtnl, 0, name, 0, true));
}

void rtnl_address(struct rtnl *rtnl, int index, const uint8_t ip[16], int prefix)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct nlmsghdr *header = rtnl_begin(rtnl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	bool ipv4 = !memcmp(ip, mapped, sizeof(mapped));

	info->ifa_family = ipv4 ? AF_INET : AF_INET6;
	info->ifa_prefixlen = prefix;
	info->ifa_index = index;
	info->ifa_flags = IFA_F_PERMANENT | IFA_F_NODAD;
	mnl_attr_put(header, IFA_LOCAL, ipv4 ? 4 : 16, ipv4 ? ip + 12 : ip);
	mnl_attr_put(header, IFA_ADDRESS, ipv4 ? 4 : 16, ipv4 ? ip + 12 : ip);
	rtnl_end(rtnl, header);
}

int rtnl_flush(struct rtnl *rtnl)
{
	int err;

	batch_send(rtnl);
	err = rtnl->err;
	rtnl->err = 0;
	return err;
}

/*
 * Sends one request and hands its answer to on_message, of a dump all of them. Asking for a link makes newer kernels (since 6.13) finish
 * what they have to do for it first.
 */
static int query(struct rtnl *rtnl, struct nlmsghdr *header, mnl_cb_t on_message, void *arg)
{
	unsigned char answer[ANSWER_SIZE];
	ssize_t size;
	int result;

	rtnl->used = 0;
	rtnl->last = NULL;
	if (mnl_socket_sendto(rtnl->socket, header, header->nlmsg_len) < 0)
		return -errno;
	do {
		do
			size = mnl_socket_recvfrom(rtnl->socket, answer, sizeof(answer));
		while (size < 0 && errno == EINTR);
		if (size < 0)
			return -errno;
		result = mnl_cb_run(answer, size, header->nlmsg_seq, mnl_socket_get_portid(rtnl->socket), on_message, arg);
	} while (result == MNL_CB_OK && header->nlmsg_flags & NLM_F_DUMP);
	return result < 0 ? -errno : 0;
}

/* Finds the attribute of this type in a nest. */
static const struct nlattr *nested(const struct nlattr *nest, int type)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, nest)
		if (mnl_attr_get_type(attribute) == type)
			return attribute;
	return NULL;
}

static int on_link(const struct nlmsghdr *header, void *arg)
{
	const struct nlattr *attribute, *data;
	int *ret_forwards = arg;

	mnl_attr_for_each(attribute, header, sizeof(struct ifinfomsg)) {
		if (mnl_attr_get_type(attribute) != IFLA_LINKINFO)
			continue;
		data = nested(attribute, IFLA_INFO_SLAVE_DATA);
		data = data ? nested(data, IFLA_BRPORT_STATE) : NULL;
		*ret_forwards = data && mnl_attr_get_u8(data) == BR_STATE_FORWARDING;
	}
	return MNL_CB_OK;
}

int rtnl_port_forwards(struct rtnl *rtnl, int index)
{
	struct nlmsghdr *header = rtnl_begin(rtnl, RTM_GETLINK, 0);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(header, sizeof(*info));
	int forwards = 0, err;

	info->ifi_index = index;
	err = query(rtnl, header, on_link, &forwards);
	return err ? err : forwards;
}

static int on_route(const struct nlmsghdr *header, void *arg)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(header);
	int *ret_local = arg;

	*ret_local = route->rtm_type == RTN_LOCAL;
	return MNL_CB_OK;
}

int rtnl_address_works(struct rtnl *rtnl, const uint8_t ip6[16])
{
	struct nlmsghdr *header = rtnl_begin(rtnl, RTM_GETROUTE, 0);
	struct rtmsg *route = mnl_nlmsg_put_extra_header(header, sizeof(*route));
	int local = 0, err;

	route->rtm_family = AF_INET6;
	route->rtm_dst_len = 128;
	mnl_attr_put(header, RTA_DST, 16, ip6);
	err = query(rtnl, header, on_route, &local);
	/* Not even the route of the prefix is there yet. */
	if (err == -ENETUNREACH || err == -EHOSTUNREACH)
		return 0;
	return err ? err : local;
}

static int on_filter(const struct nlmsghdr *header, void *arg)
{
	const struct tcmsg *filter = mnl_nlmsg_get_payload(header);
	int *ret_n = arg;

	*ret_n += header->nlmsg_type == RTM_NEWTFILTER && filter->tcm_handle;
	return MNL_CB_OK;
}

int rtnl_filters(struct rtnl *rtnl, int index)
{
	static const uint32_t hooks[] = { TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS) };
	int n = 0, err = 0;

	for (size_t i = 0; i < 2 && !err; i++) {
		struct nlmsghdr *header = rtnl_begin(rtnl, RTM_GETTFILTER, NLM_F_DUMP);
		struct tcmsg *filter = mnl_nlmsg_put_extra_header(header, sizeof(*filter));

		filter->tcm_ifindex = index;
		filter->tcm_parent = hooks[i];
		err = query(rtnl, header, on_filter, &n);
	}
	return err ? err : n;
}
