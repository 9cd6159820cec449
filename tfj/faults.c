/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rules where the programs look them up, and what became of them. The programs change a rule while we look: a state is
 * only ever moved by an exchange that says what it was.
 */
#include "tfj/faults.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "lib/clock.h"
#include "tfj/faults_inside.h"
#include "tfj/tracer_kernel.h"

static enum counted counted_of(uint32_t effect)
{
	if (effect_is_between_boxes(effect))
		return COUNTED_WALLS;
	if (effect_is_refusal(effect))
		return COUNTED_CONNECTS;
	return effect == RULE_MARK ? COUNTED_NOT : COUNTED_FLOWS;
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

static int name_watch(struct faults *faults, const struct rule_key *key)
{
	uint32_t moments = 0;

	bpf_map_lookup_elem(faults->rule_names, &key->name, &moments);
	moments |= 1u << key->moment;
	return bpf_map_update_elem(faults->rule_names, &key->name, &moments, BPF_ANY) ? -errno : 0;
}

static void rule_forget(struct faults *faults, const struct kernel_fault *fault)
{
	struct rule *rule = &faults->rules[fault->id];
	struct rule_key key;

	faults_rule_key(fault, &key);
	if (rule->moment != RULE_AT_ONCE)
		list_remove(faults->rule_lists, &key, fault->id);
	if (effect_is_between_boxes(rule->effect))
		pairs_change(faults, fault, false);
	faults->armed[fault->id].kind = FAULT_NONE;
	memset(rule, 0, sizeof(*rule));
}

/* The rule is in all tables, but not armed yet. */
static int rule_add(struct faults *faults, const struct kernel_fault *fault, struct error *e)
{
	struct rule *rule = &faults->rules[fault->id];
	struct rule_key key;
	int err = 0;

	faults_rule_key(fault, &key);
	faults_rule_fill(rule, fault);
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
		err = faults_rule_check(faults, &rules[done], e);
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
	faults->missed = 0;
	*faults->why.text = '\0';
}
