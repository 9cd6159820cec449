/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moments of faults. Called by what traces, in the task whose call it is: a rule that was waiting for this very
 * message, connect, accept, start or end takes effect before the call goes on. For a send the socket is locked and
 * nothing of the message is queued, so no byte of it can be seen by the programs at packets before the effect is in
 * place.
 *
 * Everything here is behind `faulting`: a run without faults pays a look at it.
 */
#ifndef BPF_FAULT_BPF_H
#define BPF_FAULT_BPF_H

#include "bpf/fault_maps.bpf.h"
#include "bpf/order.bpf.h"

#define SIGKILL 9
#define fault_function static __attribute__((unused)) __noinline /* not every file has all moments */

/* What the moments of a connection have in common, on the stack of whoever calls. */
struct fault_moment {
	__u64 order; /* of the record */
	__u64 pos;
	__u64 asked;
	__u32 message;
	__u32 moment; /* enum rule_moment */
};

/* A connect begins. What the SYN of one to a box will say is told to the programs that make SYNs. */
static __always_inline void fault_name(struct sock_state *ss, struct open_state *open, __u64 label)
{
	__u64 connector = fault_connector(label, open->ordinal), cookie = ss->cookie;

	ss->target = address_box(&open->remote, ss->box);
	ss->name = fault_connection_name(connector, ss->target, open->remote.ip, open->remote.port);
	if (syn_tells && ss->target)
		bpf_map_update_elem(&syn_connectors, &cookie, &connector, BPF_ANY);
	else if (syn_tells) /* a socket that a box refused, and that goes elsewhere now */
		bpf_map_delete_elem(&syn_connectors, &cookie);
}

/* What an accepted end was told of its name. 0: nothing so far. */
static __always_inline int fault_ask(struct sock_state *ss, __u64 key)
{
	__u64 *known = bpf_map_lookup_elem(&fault_keys, &key);

	if (!known)
		known = bpf_map_lookup_elem(&fault_left, &key);
	if (!known) {
		known = bpf_map_lookup_elem(&syn_names, &key);
		if (known)
			ss->flags |= SOCK_F_FOREIGN;
	}
	if (known)
		ss->name = *known;
	return known != 0;
}

/*
 * The connector tells its peer, by their sequence numbers, how the connection is called; one of another kernel has told it with its SYN.
 * Whoever has a name learns what rules there are. Returns those moments.
 */
verified_once __u32 fault_bind(struct sock_state *ss)
{
	__u32 *moments, watch = 0;
	__u64 key, name;

	if (!ss)
		return 0;
	if (ss->flags & SOCK_F_ACCEPTOR) {
		key = end_key(ss);
		if (!ss->name && !fault_ask(ss, key))
			return 0; /* one that is older than the rules: its connector has not done anything since */
		bpf_map_delete_elem(&fault_keys, &key);
	}
	if (!(ss->flags & (SOCK_F_ACCEPTOR | SOCK_F_KEYED)))
		return 0;
	name = ss->name;
	if (!name)
		return 0;
	ss->fault_seen = faulting;
	if (!(ss->flags & SOCK_F_ACCEPTOR) && ss->fault_told != fault_since) {
		key = peer_key(ss);
		if (bpf_map_update_elem(&fault_keys, &key, &name, BPF_ANY))
			count(COUNTER_LOST_NAME);
		else
			ss->fault_told = fault_since;
	}
	moments = bpf_map_lookup_elem(&rule_names, &name);
	if (moments)
		watch = *moments;
	ss->fault_watch = watch;
	return watch;
}

static __always_inline __u32 fault_watch(struct sock_state *ss)
{
	return ss->fault_seen == faulting ? ss->fault_watch : fault_bind(ss);
}

/*
 * An end is forgotten, and with it what it told its peer. A connector can be gone before its peer has looked for the
 * name: what is still on its way to the peer then is little, and what nobody asks for is overwritten.
 */
verified_once int fault_forget(struct sock_state *ss)
{
	__u64 key, name, cookie, *told;

	if (!ss || !(ss->flags & SOCK_F_KEYED))
		return 0;
	if (ss->flags & SOCK_F_ACCEPTOR) {
		cookie = ss->cookie;
		bpf_map_delete_elem(&fault_accepts, &cookie);
		key = end_key(ss); /* nobody will ask for it any more */
		bpf_map_delete_elem(&fault_keys, &key);
	} else if (ss->name) {
		key = peer_key(ss);
		told = bpf_map_lookup_elem(&fault_keys, &key);
		if (told) {
			name = *told;
			bpf_map_update_elem(&fault_left, &key, &name, BPF_ANY);
			bpf_map_delete_elem(&fault_keys, &key);
		}
	}
	if (ss->fault_watch) {
		key = end_key(ss);
		bpf_map_delete_elem(&fault_taken, &key);
	}
	return 0;
}

/* Is it the current task's process that is to be hit? */
static __always_inline int rule_is_for(struct rule *rule)
{
	struct task_state *state;

	if (!rule->process)
		return 1;
	state = task_kept(bpf_get_current_task_btf());
	return state && state->seed.label == rule->process;
}

/* Takes a rule that waits, for good. 0: it does not, or its time is over. */
static __always_inline int rule_claim(struct rule *rule)
{
	struct rule_gate *gate = rule_gate();
	__u64 now = bpf_ktime_get_ns(), lease;

	if (!gate || now >= gate->until_ns || !rule_is_for(rule))
		return 0;
	if (__sync_val_compare_and_swap(&rule->state, RULE_ARMED, RULE_FIRING) != RULE_ARMED)
		return 0;
	lease = rule->lease_ns;
	rule->fired_ns = now;
	rule->fired++;
	rule->deadline = lease ? now + lease : 0;
	return 1;
}

verified_once int fault_emit(struct rule *rule, struct sock_state *ss, struct fault_moment *at)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_kept(task);
	__u64 now = bpf_ktime_get_ns(), order;
	struct rec_fault *record;

	if (!rule || !at || !state)
		return 0;
	order = at->order ? at->order : order_draw(task, state);
	record = record_reserve(sizeof(*record), REC_FAULT, 0, state->seed.box, order, rule->fired_ns, now, task);
	if (!record)
		return 0;
	record->id = rule->id;
	record->state = rule->state;
	record->cookie = ss ? ss->cookie : 0;
	record->pos = at->pos;
	record->bytes = at->asked;
	record->message = at->message;
	record->moment = at->moment;
	bpf_ringbuf_submit(record, BPF_RB_FORCE_WAKEUP);
	return 0;
}

static __always_inline int flow_add(struct rule_flow_key *key, __u32 entry)
{
	struct rule_flow fresh = {}, *flow = bpf_map_lookup_elem(&rule_flows, key);

	if (!flow) {
		fresh.rules[0] = entry;
		if (!bpf_map_update_elem(&rule_flows, key, &fresh, BPF_NOEXIST))
			return 0;
		flow = bpf_map_lookup_elem(&rule_flows, key);
	}
	if (!flow)
		return -1;
	for (int i = 0; i < RULE_FLOW; i++)
		if (flow->rules[i] == entry || !__sync_val_compare_and_swap(&flow->rules[i], 0, entry))
			return 0;
	return -1;
}

/* Packets from there to here, in that box. 0: they meet it. */
verified_once int fault_flow(__u32 box, const struct rec_addr *from, const struct rec_addr *to, __u32 entry)
{
	struct rule_flow_key key = {};

	if (!from || !to)
		return -1;
	key.box = box;
	__builtin_memcpy(key.source, from->ip, 16);
	__builtin_memcpy(key.target, to->ip, 16);
	key.source_port = from->port;
	key.target_port = to->port;
	return flow_add(&key, entry);
}

/*
 * From here on packets of that connection meet the rule: where they arrive, or, when the peer is not in a box that we
 * look at, where they leave.
 */
fault_function int fault_flows(struct sock *sk, struct sock_state *ss, __u32 entry)
{
	struct rec_addr local, remote;
	__u32 box, own;

	if (!ss)
		return -1;
	own = ss->box & ~BOX_GUEST;
	local_address(sk, &local);
	remote_address(sk, &remote);
	if (fault_flow(own, &remote, &local, entry | RULE_FLOW_BACK))
		return -1;
	box = address_box(&remote, own);
	box = box && bpf_map_lookup_elem(&rule_boxes, &box) ? box : own | RULE_LEAVES;
	return fault_flow(box, &local, &remote, entry);
}

/* The programs at packets have something to look for. */
static __always_inline void rule_placed(struct rule *rule, __u32 *counter)
{
	__sync_fetch_and_add(&rule->placed, 1);
	__sync_fetch_and_add(counter, 1);
}

/* A process was killed, and nobody is to be told: see fault_closing. */
static __always_inline void process_silence(struct rule *rule)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_kept(task);

	if (state && rule->silent && rule->signal == SIGKILL)
		process_find(task, state)->silenced = rule->id;
}

/* It was claimed: takes effect, or would have, and is told of. */
static __always_inline int rule_begin(struct rule *rule, struct sock_state *ss, struct fault_moment *at)
{
	struct rule_gate *gate = rule_gate();

	if (rule->dry) {
		rule->state = RULE_WOULD_FIRE;
		return fault_emit(rule, ss, at);
	}
	if (gate && effect_is_between_boxes(rule->effect)) {
		if (rule->rest)
			__sync_fetch_and_add(&gate->rest, 1);
		rule_placed(rule, &gate->walls);
	}
	rule->state = RULE_FIRED;
	rule->effect_ns = bpf_ktime_get_ns();
	if (rule->effect == RULE_SIGNAL) {
		process_silence(rule);
		bpf_send_signal(rule->signal);
	}
	return fault_emit(rule, ss, at);
}

/* A moment that is not a send. */
verified_once int fault_fire(struct rule *rule, struct sock_state *ss, struct fault_moment *at)
{
	return rule && at && rule_claim(rule) ? rule_begin(rule, ss, at) : 0;
}

static __always_inline struct rule *rule_listed(struct rule_list *list, int i)
{
	return list->rules[i] ? rule_find(list->rules[i]) : 0;
}

verified_once int fault_moment_of(__u64 name, __u32 moment, struct sock_state *ss)
{
	struct rule_key key = { .name = name, .moment = moment << 1 };
	struct fault_moment at = { .moment = moment };
	struct rule_list *list = bpf_map_lookup_elem(&rule_lists, &key);

	for (int i = 0; list && i < RULE_SHARED; i++)
		fault_fire(rule_listed(list, i), ss, &at);
	return 0;
}

/*
 * A process was made (by the current one), or executes a program. A signal would hit the current one: such a rule
 * waits for the program.
 */
verified_once int fault_started(__u64 label, __u32 made)
{
	struct rule_key key = { .name = label, .moment = RULE_START << 1 };
	struct fault_moment at = { .moment = RULE_START };
	struct rule_list *list = bpf_map_lookup_elem(&rule_lists, &key);

	for (int i = 0; list && i < RULE_SHARED; i++) {
		struct rule *rule = rule_listed(list, i);

		if (rule && !(made && rule->effect == RULE_SIGNAL))
			fault_fire(rule, 0, &at);
	}
	return 0;
}

/* A connect that the current task entered is about to send its SYN. */
verified_once int fault_open(struct sock_state *ss)
{
	struct rule_key key = { .moment = RULE_CONNECT << 1 };
	struct rule_gate *gate = rule_gate();
	struct rule_list *list;
	__u64 cookie;

	if (!ss || !gate)
		return 0;
	cookie = ss->cookie;
	/* a socket that was refused can connect again: that is another connect */
	if (gate->connects)
		bpf_map_delete_elem(&rule_connects, &cookie);
	key.name = ss->name;
	list = bpf_map_lookup_elem(&rule_lists, &key);
	for (int i = 0; list && i < RULE_SHARED; i++) {
		struct rule *rule = rule_listed(list, i);

		if (!rule || rule->state != RULE_ARMED || rule->dry || !effect_is_refusal(rule->effect))
			continue;
		/* before the rule fires: it looks at its state */
		rule->cookie = cookie;
		bpf_map_update_elem(&rule_connects, &cookie, &rule->id, BPF_ANY);
		rule_placed(rule, &gate->connects);
	}
	return fault_moment_of(ss->name, RULE_CONNECT, ss);
}

/* Both numbers of a connection are known. An end that will read tells from where on. */
verified_once int fault_keyed(struct sock_state *ss)
{
	__u64 pair, cookie, name;
	__u32 watch, next;

	if (!ss)
		return 0;
	watch = fault_watch(ss);
	if (watch & 3u << (RULE_RECV << 1)) {
		pair = end_key(ss);
		next = received_number(ss);
		bpf_map_update_elem(&fault_taken, &pair, &next, BPF_ANY);
	}
	if (watch & 1u << (RULE_ACCEPT << 1) && ss->flags & SOCK_F_ACCEPTOR) {
		cookie = ss->cookie;
		name = ss->name;
		bpf_map_update_elem(&fault_accepts, &cookie, &name, BPF_ANY);
	}
	return 0;
}

static __always_inline int fault_accepted(__u64 cookie)
{
	__u64 *name = bpf_map_lookup_elem(&fault_accepts, &cookie);

	if (!name)
		return 0;
	fault_moment_of(*name, RULE_ACCEPT, 0);
	bpf_map_delete_elem(&fault_accepts, &cookie);
	return 0;
}

/* The end of a process that dies is about to say so. Was it killed silently, nobody hears. */
fault_function int fault_closing(struct sock *sk, struct sock_state *ss)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_kept(task);
	struct rule_gate *gate = rule_gate();
	struct rule *rule;
	__u32 id;

	if (!state || !ss || !gate || !(task->flags & PF_EXITING))
		return 0;
	id = process_find(task, state)->silenced;
	rule = id ? rule_find(id) : 0;
	if (rule && !fault_flows(sk, ss, id << RULE_FLOW_SHIFT | RULE_FLOW_QUIET))
		rule_placed(rule, &gate->flows);
	return 0;
}

#endif
