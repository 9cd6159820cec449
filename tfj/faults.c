/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rules: from a fault with numbers for names to what the programs look up, and back to what became of it. The
 * programs change a rule while we look: a state is only ever moved by an exchange that says what it was.
 */
#include "tfj/faults.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "lib/clock.h"
#include "tfj/faults_inside.h"
#include "tfj/tracer.h"
#include "tfj/tracer_kernel.h"

int faults_able(struct tracer *tracer, enum fault_kind kind, struct error *e)
{
	switch (kind) {
	case FAULT_CUT:
	case FAULT_DROP:
	case FAULT_HOLD:
	case FAULT_RESET:
		if (!strcmp(tracer_backend(tracer), "tracepoint-late"))
			return error_set(e, -ENOTSUP,
					 "%s: backend tracepoint-late sees a message only when it has been sent; a "
					 "kernel with "
					 "fentry or kprobes, or Linux 6.16, can do it",
					 fault_kind_name(kind));
		break;
	default: /* not by messages alone */
		break;
	}
	return 0;
}

static uint32_t effect_of(const struct kernel_fault *fault)
{
	switch (fault->kind) {
	case FAULT_CUT:
		return fault->flags & FAULT_F_ONEWAY ? RULE_CUT_ONEWAY : RULE_CUT;
	case FAULT_DROP:
		return RULE_DROP;
	case FAULT_HOLD:
		return RULE_HOLD;
	case FAULT_RESET:
		return RULE_RESET;
	case FAULT_REFUSE:
		return fault->flags & FAULT_F_TIMEOUT ? RULE_REFUSE_SILENT : RULE_REFUSE;
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_CRASH_BOX:
		return RULE_WALL;
	case FAULT_CRASH:
	case FAULT_PAUSE:
		return RULE_SIGNAL;
	case FAULT_LOSS:
		return RULE_LOSS;
	case FAULT_CORRUPT:
		return RULE_CORRUPT;
	case FAULT_DUPLICATE:
		return RULE_DUPLICATE;
	case FAULT_RESTART:
	case FAULT_REORDER:
	case FAULT_RATE:
	case FAULT_FAIL:
		return RULE_MARK; /* what follows is the agent's business */
	case FAULT_NONE:
	case FAULT_KIND_COUNT:
		break;
	}
	return 0;
}

static uint32_t moment_of(enum fault_moment_kind kind)
{
	switch (kind) {
	case MOMENT_NONE:
		return RULE_AT_ONCE;
	case MOMENT_SEND:
		return RULE_SEND;
	case MOMENT_RECV:
		return RULE_RECV;
	case MOMENT_CONNECT:
		return RULE_CONNECT;
	case MOMENT_ACCEPT:
		return RULE_ACCEPT;
	case MOMENT_EXIT:
		return RULE_EXIT;
	case MOMENT_START:
		return RULE_START;
	case MOMENT_KIND_COUNT:
		break;
	}
	return RULE_DUE;
}

static enum counted counted_of(uint32_t effect)
{
	if (effect_is_between_boxes(effect))
		return COUNTED_WALLS;
	if (effect_is_refusal(effect))
		return COUNTED_CONNECTS;
	return effect == RULE_MARK ? COUNTED_NOT : COUNTED_FLOWS;
}

/* Can the kernel do that at such a moment? */
static int fault_check(struct faults *faults, const struct kernel_fault *fault, struct error *e)
{
	uint32_t effect = effect_of(fault), moment = moment_of(fault->moment);
	const char *kind = fault_kind_name(fault->kind);
	bool send = effect_is_of_message(effect), refuse = effect_is_refusal(effect);

	if (!fault->id || fault->id >= RULE_MAX)
		return error_set(e, -E2BIG, "fault %u: there can be %u", fault->id, RULE_MAX - 1);
	if (faults->armed[fault->id].kind)
		return error_set(e, -EINVAL, "fault %u: there is one already", fault->id);
	if (!effect || moment == RULE_DUE)
		return error_set(e, -EINVAL, "fault %u: not a fault", fault->id);
	if ((send && moment != RULE_SEND) || (refuse && moment != RULE_CONNECT) ||
	    (effect == RULE_SIGNAL && (moment == RULE_AT_ONCE || moment == RULE_EXIT)))
		return error_set(e, -EINVAL, "fault %u: %s does not go with that moment", fault->id, kind);
	if ((moment == RULE_SEND || moment == RULE_RECV) && (!fault->message || !fault->where.ordinal))
		return error_set(e, -EINVAL, "fault %u: %s needs a message", fault->id, kind);
	if (effect_is_between_boxes(effect) && !fault->n_from)
		return error_set(e, -EINVAL, "fault %u: %s needs a box", fault->id, kind);
	return moment == RULE_SEND || moment == RULE_RECV
		       ? faults_able(faults->tracer, send ? fault->kind : FAULT_CUT, e)
		       : 0;
}

static void rule_key_of(const struct kernel_fault *fault, struct rule_key *ret_key)
{
	const struct fault_where *where = &fault->where;
	uint32_t moment = moment_of(fault->moment);

	*ret_key = (struct rule_key){ .moment = moment << 1 };
	if (moment == RULE_EXIT || moment == RULE_START) {
		ret_key->name = fault->process;
		return;
	}
	ret_key->name = fault_connection_name(where->process, where->box, where->ip, where->port, where->ordinal);
	if (moment == RULE_SEND || moment == RULE_RECV) {
		ret_key->message = fault->message;
		ret_key->moment |= fault->reply;
	}
}

/* It does nothing more where packets (or, moments, calls) look for it. */
static bool is_spent(const struct rule *rule, bool moments)
{
	switch (__atomic_load_n(&rule->state, __ATOMIC_SEQ_CST)) {
	case RULE_WOULD_FIRE:
	case RULE_OVER:
	case RULE_LIFTED:
	case RULE_CROWDED:
		return true;
	case RULE_FIRED:
		return moments || (rule->deadline && rule->deadline < clock_monotonic_ns());
	}
	return false;
}

/* Puts it into the list of that key, where it may take the place of one that is spent. -E2BIG: the list is full. */
static int list_add(struct faults *faults, int map, const void *key, uint32_t id)
{
	struct rule_list list = { { 0 } };

	if (bpf_map_lookup_elem(map, key, &list) && errno != ENOENT)
		return -errno;
	for (int i = 0; i < RULE_SHARED; i++)
		if (!list.rules[i] || is_spent(&faults->rules[list.rules[i]], map == faults->rule_lists)) {
			list.rules[i] = id;
			return bpf_map_update_elem(map, key, &list, BPF_ANY) ? -errno : 0;
		}
	return -E2BIG;
}

static void list_remove(int map, const void *key, uint32_t id)
{
	struct rule_list list;
	uint32_t left = 0;

	if (bpf_map_lookup_elem(map, key, &list))
		return;
	for (int i = 0; i < RULE_SHARED; i++) {
		if (list.rules[i] == id)
			list.rules[i] = 0;
		left |= list.rules[i];
	}
	if (left)
		bpf_map_update_elem(map, key, &list, BPF_ANY);
	else
		bpf_map_delete_elem(map, key);
}

/* All its pairs of boxes; stops at the first failure. add: else they are taken out. */
static int pairs_change(struct faults *faults, const struct kernel_fault *fault, bool add)
{
	static const uint32_t all = RULE_BOX_ALL;
	const uint32_t *to = fault->n_to ? fault->to : &all;
	size_t n_to = fault->n_to ? fault->n_to : 1;
	int err = 0;

	for (size_t i = 0; i < fault->n_from; i++)
		for (size_t j = 0; j < n_to; j++)
			for (int back = 0; back < (fault->flags & FAULT_F_ONEWAY ? 1 : 2) && !err; back++) {
				struct rule_pair pair = { fault->from[i], to[j] };

				if (back)
					pair = (struct rule_pair){ to[j], fault->from[i] };
				if (add)
					err = list_add(faults, faults->rule_pairs, &pair, fault->id);
				else
					list_remove(faults->rule_pairs, &pair, fault->id);
			}
	return err;
}

static void rule_fill(struct rule *rule, const struct kernel_fault *fault)
{
	uint64_t lease = fault->lease_ns;
	bool holds = fault->kind == FAULT_HOLD || fault->kind == FAULT_PAUSE;

	if (!holds && fault->duration_ns && (!lease || fault->duration_ns < lease))
		lease = fault->duration_ns;
	*rule = (struct rule){
		.id = fault->id,
		.effect = effect_of(fault),
		.moment = moment_of(fault->moment),
		.message = fault->message,
		.signal = fault->kind == FAULT_PAUSE ? SIGSTOP : SIGKILL,
		.silent = !!(fault->flags & FAULT_F_SILENT),
		.dry = !!(fault->flags & FAULT_F_DRY),
		.times = fault->times ? fault->times : 1,
		.ppm = fault->ppm,
		.rest = !fault->n_to,
		.process = fault->kind == FAULT_CRASH || fault->kind == FAULT_PAUSE ? fault->process : 0,
		.seed = fault->seed,
		.duration_ns = fault->duration_ns,
		.lease_ns = lease,
	};
}

static int name_watch(struct faults *faults, const struct rule_key *key)
{
	uint32_t moments = 0;

	bpf_map_lookup_elem(faults->rule_names, &key->name, &moments);
	moments |= 1u << key->moment;
	return bpf_map_update_elem(faults->rule_names, &key->name, &moments, BPF_ANY) ? -errno : 0;
}

static void rule_forget(struct faults *faults, const struct kernel_fault *fault)
{
	struct rule_key key;

	rule_key_of(fault, &key);
	if (moment_of(fault->moment) != RULE_AT_ONCE)
		list_remove(faults->rule_lists, &key, fault->id);
	if (effect_is_between_boxes(effect_of(fault)))
		pairs_change(faults, fault, false);
	faults->armed[fault->id].kind = FAULT_NONE;
	memset(&faults->rules[fault->id], 0, sizeof(struct rule));
}

/* The rule is in all tables, but not armed yet. */
static int rule_add(struct faults *faults, const struct kernel_fault *fault, struct error *e)
{
	struct rule *rule = &faults->rules[fault->id];
	struct rule_key key;
	int err = 0;

	rule_key_of(fault, &key);
	rule_fill(rule, fault);
	if (effect_is_between_boxes(rule->effect))
		err = pairs_change(faults, fault, true);
	if (!err && rule->moment != RULE_AT_ONCE)
		err = list_add(faults, faults->rule_lists, &key, fault->id);
	if (!err && rule->moment != RULE_AT_ONCE)
		err = name_watch(faults, &key);
	faults->armed[fault->id] = (struct faults_armed){ .kind = fault->kind, .counted = counted_of(rule->effect) };
	if (faults->top <= fault->id)
		faults->top = fault->id + 1;
	if (err)
		rule_forget(faults, fault);
	return err == -E2BIG ? error_set(e, err,
					 "fault %u: %s: there can be %d faults of the same moment or boxes, not more",
					 fault->id, fault_kind_name(fault->kind), RULE_SHARED)
	       : err	     ? error_set(e, err, "fault %u: %s cannot be told to the kernel: %s", fault->id,
					 fault_kind_name(fault->kind), strerror(-err))
			     : 0;
}

static uint32_t *gate_counter(struct faults *faults, uint32_t id)
{
	switch (faults->armed[id].counted) {
	case COUNTED_FLOWS:
		return &faults->gate->flows;
	case COUNTED_WALLS:
		return &faults->gate->walls;
	case COUNTED_CONNECTS:
		return &faults->gate->connects;
	case COUNTED_NOT:
		break;
	}
	return NULL;
}

static void rule_start(struct faults *faults, struct rule *rule)
{
	if (rule->moment != RULE_AT_ONCE) {
		__atomic_store_n(&rule->state, RULE_ARMED, __ATOMIC_SEQ_CST);
		return;
	}
	rule->fired_ns = rule->effect_ns = clock_monotonic_ns();
	rule->deadline = rule->lease_ns ? rule->fired_ns + rule->lease_ns : 0;
	rule->fired = 1;
	__atomic_store_n(&rule->state, rule->dry ? RULE_WOULD_FIRE : RULE_FIRED, __ATOMIC_SEQ_CST);
	if (rule->dry || !effect_is_between_boxes(rule->effect))
		return;
	rule->placed = 1;
	if (rule->rest)
		__atomic_fetch_add(&faults->gate->rest, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&faults->gate->walls, 1, __ATOMIC_SEQ_CST);
}

int faults_arm(struct faults *faults, const struct kernel_fault *rules, size_t n, uint64_t until_ns, struct error *e)
{
	size_t done = 0;
	int err = 0;

	for (; done < n && !err; done++) {
		err = fault_check(faults, &rules[done], e);
		err = err ? err : rule_add(faults, &rules[done], e);
	}
	if (err) {
		while (--done)
			rule_forget(faults, &rules[done - 1]);
		return err;
	}
	faults_renew(faults, until_ns);
	for (size_t i = 0; i < n; i++)
		rule_start(faults, &faults->rules[rules[i].id]);
	tracer_faulting(faults->tracer, true);
	return 0;
}

/* What has had its effect costs packets nothing any more. */
static void rule_rest(struct faults *faults, uint32_t id)
{
	struct rule *rule = &faults->rules[id];
	uint32_t placed = __atomic_exchange_n(&rule->placed, 0, __ATOMIC_SEQ_CST), *counter = gate_counter(faults, id);

	if (!placed || !counter)
		return;
	__atomic_fetch_sub(counter, placed, __ATOMIC_SEQ_CST);
	if (faults->armed[id].counted == COUNTED_WALLS && rule->rest)
		__atomic_fetch_sub(&faults->gate->rest, placed, __ATOMIC_SEQ_CST);
}

void faults_renew(struct faults *faults, uint64_t until_ns)
{
	uint64_t now = clock_monotonic_ns();

	__atomic_store_n(&faults->gate->until_ns, until_ns, __ATOMIC_SEQ_CST);
	for (uint32_t id = 1; id < faults->top; id++) {
		const struct rule *rule = &faults->rules[id];
		uint32_t state = __atomic_load_n(&rule->state, __ATOMIC_SEQ_CST);

		if (state == RULE_OVER || (state == RULE_FIRED && rule->deadline && rule->deadline < now))
			rule_rest(faults, id);
	}
}

int faults_lift(struct faults *faults, uint32_t id)
{
	struct rule *rule;
	uint32_t state;

	if (!id || id >= faults->top || !faults->armed[id].kind)
		return -ENOENT;
	rule = &faults->rules[id];
	do {
		state = __atomic_load_n(&rule->state, __ATOMIC_SEQ_CST);
		if (state == RULE_LIFTED)
			return 0;
	} while (state == RULE_FIRING || !__atomic_compare_exchange_n(&rule->state, &state, RULE_LIFTED, false,
								      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	faults->armed[id].ended_ns = clock_monotonic_ns();
	rule_rest(faults, id);
	return 0;
}

static enum fault_state state_of(const struct faults *faults, const struct rule *rule, uint32_t state,
				 uint64_t *ret_ended)
{
	uint64_t until = faults->gate->until_ns, now = clock_monotonic_ns(), end = until;

	switch (state) {
	case RULE_WOULD_FIRE:
		return FAULT_STATE_WOULD_FIRE;
	case RULE_LIFTED:
		*ret_ended = faults->armed[rule->id].ended_ns;
		return FAULT_STATE_LIFTED;
	case RULE_OVER:
		*ret_ended = rule->arrived_ns;
		return FAULT_STATE_FIRED;
	case RULE_CROWDED:
		return FAULT_STATE_REFUSED;
	case RULE_ARMED:
		if (now < until)
			return FAULT_STATE_ARMED;
		break;
	case RULE_FIRING:
	case RULE_FIRED:
		if (rule->deadline && rule->deadline < end)
			end = rule->deadline;
		if (now < end)
			return FAULT_STATE_FIRED;
		break;
	}
	*ret_ended = end;
	return FAULT_STATE_EXPIRED;
}

int faults_receipt(struct faults *faults, uint32_t id, struct kernel_receipt *ret_receipt)
{
	struct kernel_receipt *receipt = ret_receipt;
	const struct rule *rule;
	uint32_t state;

	if (!id || id >= faults->top || !faults->armed[id].kind)
		return -ENOENT;
	rule = &faults->rules[id];
	state = __atomic_load_n(&rule->state, __ATOMIC_SEQ_CST);
	*receipt = (struct kernel_receipt){
		.id = id,
		.over = state == RULE_OVER,
		.fired = rule->fired,
		.fired_ns = rule->fired_ns,
		.effect_ns = rule->effect_ns > rule->fired_ns ? rule->effect_ns - rule->fired_ns : 0,
		.messages = rule->fired && rule->cookie ? rule->messages : 0,
		.bytes = rule->bytes,
		.packets = rule->packets,
		.collateral_bytes = rule->collateral_bytes,
		.collateral_packets = rule->collateral_packets,
		.decisions = rule->decisions,
		.cookie = rule->cookie,
		.pos = rule->pos,
	};
	receipt->state = state_of(faults, rule, state, &receipt->ended_ns);
	if (rule->arrived_ns > rule->fired_ns + rule->duration_ns && rule->arrived_ns)
		receipt->lateness_ns = rule->arrived_ns - rule->fired_ns - rule->duration_ns;
	return 0;
}

void faults_clear(struct faults *faults)
{
	tracer_faulting(faults->tracer, false);
	__atomic_store_n(&faults->gate->until_ns, 0, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < faults->n_places; i++)
		faults_place_close(&faults->places[i]);
	faults->n_places = 0;
	faults_maps_clear(faults);
	memset(faults->gate, 0, sizeof(*faults->gate));
	memset(faults->rules, 0, faults->top * sizeof(*faults->rules));
	memset(faults->armed, 0, faults->top * sizeof(*faults->armed));
	faults->top = 0;
}
