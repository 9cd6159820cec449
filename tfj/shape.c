/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * See shape.h. Must not know faults, boxes or runs. htb and not tbf: it lets packets that are larger than its burst (64 KB ones
 * that the device cuts up) pass late, where tbf drops them, and it has classes.
 */
#include "tfj/shape.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tfj/netns.h"
#include "tfj/rtnl.h"

#define SHAPE_MAJOR 0xb0bfu /* of our queue's handle: so that a person sees whose it is */
#define CLASS(id) TC_H_MAKE(SHAPE_MAJOR << 16, id)
#define UNLIMITED 125000000000ull /* bytes a second: more than any packet needs */
#define BURST_MIN 2000u		   /* bytes */
#define TICK_NS 64u		   /* of the kernel's packet scheduler: PSCHED_SHIFT of net/pkt_sched.h */
#define LIMIT 10000u		   /* packets that can be late at once */
#define HZ_LEAST 100u

#ifndef TCA_NETEM_PRNG_SEED /* Linux 6.6 */
#define TCA_NETEM_PRNG_SEED 14
#endif

struct shape {
	struct rtnl *rtnl;
	int device;
	unsigned n; /* classes */
};

static struct nlmsghdr *begin(struct shape *shape, int type, int flags, uint32_t handle, uint32_t parent, uint32_t info)
{
	struct nlmsghdr *header = rtnl_begin(shape->rtnl, type, flags);
	struct tcmsg *message = mnl_nlmsg_put_extra_header(header, sizeof(*message));

	message->tcm_family = AF_UNSPEC;
	message->tcm_ifindex = shape->device;
	message->tcm_handle = handle;
	message->tcm_parent = parent;
	message->tcm_info = info;
	return header;
}

static void root_add(struct shape *shape)
{
	const struct tc_htb_glob global = { .version = 3, .rate2quantum = 10 }; /* defcls 0: what no filter finds passes */
	struct nlmsghdr *header = begin(shape, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, SHAPE_MAJOR << 16, TC_H_ROOT, 0);
	struct nlattr *options;

	mnl_attr_put_strz(header, TCA_KIND, "htb");
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	mnl_attr_put(header, TCA_HTB_INIT, sizeof(global), &global);
	mnl_attr_nest_end(header, options);
	rtnl_end(shape->rtnl, header);
}

static void root_remove_unused(struct shape *shape)
{
	struct nlmsghdr *header;

	if (shape->n)
		return;
	header = begin(shape, RTM_DELQDISC, 0, SHAPE_MAJOR << 16, TC_H_ROOT, 0);
	rtnl_end(shape->rtnl, header);
	rtnl_flush(shape->rtnl);
}

static void class_add(struct shape *shape, uint32_t id, uint64_t bits)
{
	uint64_t bytes = !bits ? UNLIMITED : bits < 8 ? 1 : bits / 8, burst = bytes / HZ_LEAST, ticks;
	struct nlmsghdr *header = begin(shape, RTM_NEWTCLASS, NLM_F_CREATE | NLM_F_EXCL, CLASS(id), SHAPE_MAJOR << 16, 0);
	struct tc_htb_opt parms = { .quantum = 60000 };
	struct nlattr *options;

	/* what may go at once, as the time that it takes */
	burst = burst < BURST_MIN ? BURST_MIN : burst;
	ticks = burst * (1000000000ull / TICK_NS) / bytes;
	parms.rate.linklayer = parms.ceil.linklayer = TC_LINKLAYER_ETHERNET; /* no tables of times: the kernel computes them */
	parms.rate.rate = parms.ceil.rate = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
	parms.buffer = parms.cbuffer = ticks > UINT32_MAX ? UINT32_MAX : (uint32_t)ticks;
	mnl_attr_put_strz(header, TCA_KIND, "htb");
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	mnl_attr_put(header, TCA_HTB_PARMS, sizeof(parms), &parms);
	if (bytes > UINT32_MAX) {
		mnl_attr_put_u64(header, TCA_HTB_RATE64, bytes);
		mnl_attr_put_u64(header, TCA_HTB_CEIL64, bytes);
	}
	mnl_attr_nest_end(header, options);
	rtnl_end(shape->rtnl, header);
}

/* netem: those that are "reordered" go at once, the others late; so it is asked for the rest. */
static void netem_add(struct shape *shape, const struct shape_fault *fault)
{
	struct nlmsghdr *header = begin(shape, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, 0, CLASS(fault->id), 0);
	const struct tc_netem_qopt global = { .latency = SHAPE_DELAY_NS / TICK_NS, .limit = LIMIT, .gap = 1 };
	const struct tc_netem_reorder reorder = {
		.probability = (uint32_t)((1000000ull - fault->ppm) * UINT32_MAX / 1000000),
	};
	struct nlattr *options;

	mnl_attr_put_strz(header, TCA_KIND, "netem");
	/* its own structure first, then attributes, all inside one */
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	memcpy(mnl_nlmsg_put_extra_header(header, sizeof(global)), &global, sizeof(global));
	mnl_attr_put(header, TCA_NETEM_REORDER, sizeof(reorder), &reorder);
	mnl_attr_put_u64(header, TCA_NETEM_PRNG_SEED, fault->seed);
	mnl_attr_nest_end(header, options);
	rtnl_end(shape->rtnl, header);
}

/* Filters of one fault have its priorities: by those they are found again. */
static uint32_t filter_info(uint32_t id, bool ipv6)
{
	return TC_H_MAKE((id * 2 + ipv6) << 16, htons(ipv6 ? ETH_P_IPV6 : ETH_P_IP));
}

/* ip NULL: whatever has that protocol. */
static void filter_add(struct shape *shape, uint32_t id, bool ipv6, const uint8_t *ip)
{
	_Alignas(struct tc_u32_sel) unsigned char match[sizeof(struct tc_u32_sel) + 4 * sizeof(struct tc_u32_key)] = { 0 };
	struct tc_u32_sel *sel = (struct tc_u32_sel *)match;
	struct nlmsghdr *header = begin(shape, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, 0, SHAPE_MAJOR << 16,
					filter_info(id, ipv6));
	unsigned words = ip && ipv6 ? 4 : 1;
	struct nlattr *options;

	for (unsigned i = 0; i < words; i++) {
		sel->keys[i].off = (ipv6 ? 24 : 16) + 4 * i; /* of the destination in the header */
		if (ip)
			memcpy(&sel->keys[i].val, ip + (ipv6 ? 0 : 12) + 4 * i, 4);
		sel->keys[i].mask = ip ? 0xffffffff : 0;
	}
	sel->flags = TC_U32_TERMINAL;
	sel->nkeys = words;
	mnl_attr_put_strz(header, TCA_KIND, "u32");
	options = mnl_attr_nest_start(header, TCA_OPTIONS);
	mnl_attr_put_u32(header, TCA_U32_CLASSID, CLASS(id));
	mnl_attr_put(header, TCA_U32_SEL, sizeof(*sel) + words * sizeof(sel->keys[0]), match);
	mnl_attr_nest_end(header, options);
	rtnl_end(shape->rtnl, header);
}

static void filters_remove(struct shape *shape, uint32_t id)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		struct nlmsghdr *header = begin(shape, RTM_DELTFILTER, 0, 0, SHAPE_MAJOR << 16, filter_info(id, ipv6));

		rtnl_end(shape->rtnl, header);
		rtnl_flush(shape->rtnl); /* there need not be any of one protocol */
	}
}

int shape_open(int netns, int device, struct shape **ret_shape, struct error *e)
{
	struct shape *shape = calloc(1, sizeof(*shape));
	int err = shape ? rtnl_open_in(netns, &shape->rtnl) : -ENOMEM;

	if (err) {
		free(shape);
		return error_set(e, err, "cannot reach the network of a box: %s", strerror(-err));
	}
	shape->device = device;
	*ret_shape = shape;
	return 0;
}

void shape_close(struct shape *shape)
{
	if (!shape)
		return;
	rtnl_close(shape->rtnl);
	free(shape);
}

static int step(struct shape *shape, const char *what, struct error *e)
{
	int err = rtnl_flush(shape->rtnl);

	if (err == -ENOENT || err == -EOPNOTSUPP) /* kinds that the kernel does not have */
		return error_set(e, -ENOTSUP, "this kernel lacks %s", what);
	return err ? error_set(e, err, "the kernel refuses %s: %s", what, strerror(-err)) : 0;
}

int shape_add(struct shape *shape, const struct shape_fault *fault, struct error *e)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	int err = 0;

	if (!shape->n) {
		root_add(shape);
		err = step(shape, "the queue htb (sch_htb)", e);
		if (err)
			return err;
	}
	class_add(shape, fault->id, fault->rate);
	err = step(shape, "a class of htb", e);
	if (err) {
		root_remove_unused(shape);
		return err;
	}
	shape->n++;
	if (fault->ppm) {
		netem_add(shape, fault);
		err = step(shape, "the queue netem (sch_netem)", e);
	}
	for (size_t i = 0; i < fault->n_to; i++)
		filter_add(shape, fault->id, memcmp(fault->to[i], mapped, sizeof(mapped)) != 0, fault->to[i]);
	for (int ipv6 = 0; ipv6 < 2 && !fault->n_to; ipv6++)
		filter_add(shape, fault->id, ipv6, NULL);
	if (!err)
		err = step(shape, "the classifier u32 (cls_u32)", e);
	if (err)
		shape_remove(shape, fault->id);
	return err;
}

int shape_remove(struct shape *shape, uint32_t id)
{
	struct nlmsghdr *header;
	int err;

	rtnl_flush(shape->rtnl);
	filters_remove(shape, id);
	header = begin(shape, RTM_DELTCLASS, 0, CLASS(id), SHAPE_MAJOR << 16, 0);
	rtnl_end(shape->rtnl, header);
	err = rtnl_flush(shape->rtnl);
	shape->n -= !err && shape->n > 0;
	root_remove_unused(shape);
	return err;
}

/* In a namespace of its own, on its loopback: there nobody is disturbed. */
static int try(int reorder, struct error *e)
{
	const struct shape_fault fault = { .id = 1, .rate = 1000000, .ppm = reorder ? 1 : 0 };
	int netns = netns_own(), err;
	struct shape *shape;

	if (netns < 0)
		return error_set(e, netns, "cannot open /proc/thread-self/ns/net: %s", strerror(-netns));
	err = shape_open(netns, 1, &shape, e);
	close(netns);
	if (err)
		return err;
	err = shape_add(shape, &fault, e);
	shape_close(shape);
	return err;
}

int shape_able(int reorder, struct error *e)
{
	int home = netns_own(), err, back;

	if (home < 0)
		return error_set(e, home, "cannot open /proc/thread-self/ns/net: %s", strerror(-home));
	if (unshare(CLONE_NEWNET) < 0)
		err = error_set(e, -errno, "cannot make a network namespace: %s", strerror(errno));
	else
		err = try(reorder, e);
	back = netns_leave(home);
	return back && !err ? error_set(e, back, "cannot return to the network: %s", strerror(-back)) : err;
}
