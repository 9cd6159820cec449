/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The few rtnetlink requests that boxes need, in batches: one system call sends many. A socket belongs to the network
 * namespace in which it was opened, wherever the caller moves afterwards.
 */
#ifndef TFJ_RTNL_H
#define TFJ_RTNL_H

#include <stdint.h>

#include "lib/error.h"

struct rtnl;

/* Opens a socket in the caller's present network namespace. Returns 0 or negative errno. */
int rtnl_open(struct rtnl **ret_rtnl);
/* In another one: the calling thread visits it. */
int rtnl_open_in(int netns, struct rtnl **ret_rtnl);
void rtnl_close(struct rtnl *rtnl);

/* For those who know more requests (shape.c): a new one, of up to 400 bytes behind its head, until the end of which no other begins. */
struct nlmsghdr;
struct nlmsghdr *rtnl_begin(struct rtnl *rtnl, int type, int flags);
void rtnl_end(struct rtnl *rtnl, const struct nlmsghdr *header);

/* Requests are queued, and sent when the queue is full or by rtnl_flush. The first failure is kept and returned there. */
void rtnl_bridge(struct rtnl *rtnl, const char *name, int index);
/* A pair: one end here, up, a port of the bridge `master`; the other, `peer_name`, with index 2, in peer_netns. */
void rtnl_veth(struct rtnl *rtnl, const char *name, int index, int master, const char *peer_name, int peer_netns);
void rtnl_up(struct rtnl *rtnl, const char *name);
/* ip: 16 bytes, IPv4 as v4-mapped. IPv6 without duplicate address detection: of use at once. */
void rtnl_address(struct rtnl *rtnl, int index, const uint8_t ip[16], int prefix);
int rtnl_flush(struct rtnl *rtnl);

/* What the kernel does behind the requests. 1: done, 0: not yet, or negative errno. */
int rtnl_port_forwards(struct rtnl *rtnl, int index);
int rtnl_address_works(struct rtnl *rtnl, const uint8_t ip6[16]);

/* How many filters a device has at its clsact qdisc, or negative errno. */
int rtnl_filters(struct rtnl *rtnl, int index);

#endif
