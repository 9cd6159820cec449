/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a fault with numbers for names to a rule, and to how the programs find it. Nothing is told to the kernel here. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tfj/faults_inside.h"
#include "tfj/tracer.h"

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

int faults_rule_check(struct faults *faults, const struct kernel_fault *fault, struct error *e)
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

void faults_rule_key(const struct kernel_fault *fault, struct rule_key *ret_key)
{
	const struct fault_where *where = &fault->where;
	uint32_t moment = moment_of(fault->moment);

	*ret_key = (struct rule_key){ .moment = moment << 1 };
	if (moment == RULE_EXIT || moment == RULE_START) {
		ret_key->name = fault->process;
		return;
	}
	ret_key->name = fault_connection_name(fault_connector(where->process, where->ordinal), where->box, where->ip, where->port);
	if (moment == RULE_SEND || moment == RULE_RECV) {
		ret_key->message = fault->message;
		ret_key->moment |= fault->reply;
	}
}

void faults_rule_fill(struct rule *rule, const struct kernel_fault *fault)
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
