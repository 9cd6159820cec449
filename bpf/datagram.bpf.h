/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Datagrams (UDP), seen where their sends and receives return. Nothing is remembered of a socket: what there is to know
 * stands in it, in the registers of the call and in the buffers of the program. So these bodies serve every backend.
 *
 * A datagram is a question or an answer. A port that a program chose (bind to a number), or at which something arrived
 * before anything was sent, is one that is asked; all others only ask. What comes from a port that is asked and goes to one
 * that only asks is an answer. Answers are numbered for each asking process, whatever sockets it uses.
 */
#ifndef BPF_DATAGRAM_BPF_H
#define BPF_DATAGRAM_BPF_H

#include "bpf/digest.bpf.h"
#include "bpf/file.bpf.h"
#include "bpf/order.bpf.h"
#include "bpf/scope.bpf.h"

#define PORT_ASKS_FROM 32768 /* kernels choose ports from here on; only for ports of which nothing is known */

/* The message that the current call is about, as far as its registers tell. index: in sendmmsg() or recvmmsg(). */
static __always_inline void message_find(struct pt_regs *regs, struct user_message *message, __u32 index)
{
	struct user_msghdr header = {};
	__u64 at = regs_arg2(regs);

	switch (regs_call(regs)) {
	case NR_SENDTO:
	case NR_RECVFROM:
		message->name = regs_arg5(regs);
	case NR_READ:
	case NR_WRITE:
		message->buffer.base = at;
		message->buffer.size = regs_arg3(regs);
		break;
	case NR_READV:
	case NR_WRITEV:
		message->vectors = at;
		message->n_vectors = regs_arg3(regs);
		break;
	case NR_SENDMMSG:
	case NR_RECVMMSG:
		at += (__u64)index * USER_MMSGHDR;
	case NR_SENDMSG:
	case NR_RECVMSG:
		if (bpf_probe_read_user(&header, sizeof(header), (void *)at))
			break;
		message->name = header.name;
		message->vectors = header.vectors;
		message->n_vectors = header.n_vectors;
		break;
	}
}

/* Whom a datagram is sent to: who is named, else who the socket is connected to. */
static __always_inline void datagram_target(struct sock *sk, struct rec_addr *remote, __u64 name)
{
	if (!name || address_read(remote, name))
		remote_address(sk, remote);
}

/* A process, and from when on it is that one. */
struct asker {
	__u64 start;
	__u32 tgid;
};

/*
 * Number of a datagram among those of its kind. An answer to somebody unknown is counted for his address.
 */
static __always_inline __u32 datagram_number(const struct rec_datagram *record, const struct asker *asker, __u32 box,
					     __u32 remote_box, int reply)
{
	struct target target = {};

	target.start = asker->start;
	target.tgid = asker->tgid;
	target.kind = reply ? TARGET_REPLY : TARGET_REQUEST;
	target.box = reply ? box : remote_box;
	target.port = reply ? record->local.port : record->remote.port;
	if (!target.box)
		__builtin_memcpy(target.ip, record->remote.ip, 16);
	if (reply && !asker->tgid) {
		target.start = record->remote.port;
		__builtin_memcpy(target.ip, record->remote.ip, 16);
	}
	return target_count(&target);
}

/* Is this socket's port one that is asked? Notes who uses it on the way; the first that happens there decides. */
static __always_inline int port_serves(struct sock *sk, __u32 box, const struct asker *self, int sends, int *ret_chosen)
{
	struct port_key key = { .box = box, .port = peek(sk, __sk_common.skc_num) };
	struct port_user user = { .start = self->start, .tgid = self->tgid }, *known;

	*ret_chosen = port_is_chosen(sk) != 0;
	known = bpf_map_lookup_elem(&port_users, &key);
	if (known && (known->tgid != user.tgid || known->start != user.start))
		known = 0; /* another process: inherited, or the port is used again */
	user.serves = *ret_chosen || (known ? known->serves : !sends);
	if (!known)
		bpf_map_update_elem(&port_users, &key, &user, BPF_ANY);
	return user.serves;
}

static __always_inline struct rec_datagram *datagram_reserve(struct sock *sk, struct task_struct *task,
							     struct task_state *state, __u16 kind, __u16 flags,
							     __u32 box, __u64 enter_ns, __u64 now)
{
	struct rec_datagram *record;

	record = record_reserve(sizeof(*record), kind, flags, box, order_draw(task, state), enter_ns, now, task);
	if (!record)
		return 0;
	record->socket = peek(sk, __sk_common.skc_cookie.counter);
	if (!record->socket)
		record->socket = (__u64)sk;
	local_address(sk, &record->local);
	record->message = 0;
	return record;
}

/* A send on a UDP socket returned. */
static __noinline int datagram_sent(struct sock *sk, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct asker self = {}, asker = {};
	struct user_message message = {};
	struct rec_addr remote = {};
	struct port_key key = {};
	struct rec_datagram *record;
	struct task_state *state;
	struct port_user *other;
	__u32 box, remote_box;
	int serves, chosen, reply, cut = 0;
	__u64 now, digest = 0;

	box = transports & TRACE_UDP ? fd_box(sk) : 0;
	state = box ? task_current(task, box) : 0;
	box &= ~BOX_GUEST;
	if (!state || is_retry(result))
		return 0;
	self.start = task->group_leader->start_time;
	self.tgid = task->tgid;
	if (!(task->flags & PF_IO_WORKER))
		message_find(task_regs(task), &message, state->mmsg_sent);
	if (regs_call(task_regs(task)) == NR_SENDMMSG)
		state->mmsg_sent++;
	datagram_target(sk, &remote, message.name);
	remote_box = address_box(&remote, box);
	serves = port_serves(sk, box, &self, 1, &chosen);
	key.box = remote_box;
	key.port = remote.port;
	other = bpf_map_lookup_elem(&port_users, &key);
	reply = serves && (other ? !other->serves : remote.port >= PORT_ASKS_FROM);
	if (!reply) {
		asker = self;
	} else if (other) {
		asker.start = other->start;
		asker.tgid = other->tgid;
	}
	if (result >= 0)
		digest = digest_take(0, &message, result, &cut);
	now = bpf_ktime_get_ns();
	record = datagram_reserve(sk, task, state, REC_DATAGRAM_SENT,
				  (reply ? REC_F_REPLY : 0) | (serves && !chosen ? REC_F_EPHEMERAL : 0), box, now, now);
	if (!record)
		return 0;
	record->result = result;
	record->digest = digest;
	record->remote = remote;
	record->asker = asker.tgid;
	if (result >= 0)
		record->message = datagram_number(record, &asker, box, remote_box, reply);
	record_submit(record);
	return 0;
}

/* A receive on a UDP socket returned. */
static __noinline int datagram_taken(struct sock *sk, int result, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct user_message message = {};
	struct asker self = {};
	struct rec_addr remote = {}; /* before Linux 6.2 no map can be asked with what lies in the ring buffer */
	struct rec_datagram *record;
	struct task_state *state;
	struct port_key key = {};
	struct port_user *other = 0;
	int serves, chosen, cut = 0;
	__u64 now, digest = 0;
	__u16 mark;
	__u32 box;

	box = transports & TRACE_UDP ? fd_box(sk) : 0;
	state = box ? task_current(task, box) : 0;
	box &= ~BOX_GUEST;
	if (!state)
		return 0;
	if (!(task->flags & PF_IO_WORKER))
		message_find(task_regs(task), &message, state->mmsg_taken);
	if (regs_call(task_regs(task)) == NR_RECVMMSG)
		state->mmsg_taken++;
	if (flags & (MSG_PEEK | MSG_ERRQUEUE) || is_retry(result)) {
		state->sleep_ns = 0;
		return 0;
	}
	self.start = task->group_leader->start_time;
	self.tgid = task->tgid;
	serves = port_serves(sk, box, &self, 0, &chosen);
	if (result >= 0)
		digest = digest_take(1, &message, result, &cut);
	mark = (serves ? 0 : REC_F_REPLY) | (serves && !chosen ? REC_F_EPHEMERAL : 0) | (cut ? REC_F_TRUNCATED : 0);
	remote_address(sk, &remote); /* its port is 0 where the socket is not connected */
	if (serves && remote.port) {
		key.box = address_box(&remote, box);
		key.port = remote.port;
		other = bpf_map_lookup_elem(&port_users, &key);
	}
	now = bpf_ktime_get_ns();
	record = datagram_reserve(sk, task, state, REC_DATAGRAM_TAKEN, mark, box, call_enter(task, state, now), now);
	if (!record)
		return 0;
	record->result = result;
	record->digest = digest;
	record->remote = remote;
	record->asker = !serves ? task->tgid : other ? other->tgid : 0;
	record_submit(record);
	return 0;
}

#endif
