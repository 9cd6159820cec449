/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Events about faults: by their numbers in records, by their text in events. */
#include "bpf/fault.h"
#include "tfj/name_tables.h"

void names_fault(struct names *names, uint32_t id, const char *text)
{
	size_t len = strlen(text);
	struct fault_text *fault;

	HASH_FIND(hh, names->faults, &id, sizeof(id), fault);
	if (fault)
		return;
	fault = malloc(sizeof(*fault) + len + 1);
	if (!fault)
		return; /* its events have no text then */
	fault->id = id;
	memcpy(fault->text, text, len + 1);
	HASH_ADD(hh, names->faults, id, sizeof(id), fault);
}

static void event_fill(struct names *names, struct event *event, uint32_t id)
{
	struct fault_text *fault;

	HASH_FIND(hh, names->faults, &id, sizeof(id), fault);
	event->value = id;
	event->text = fault ? stream_text(names->stream, fault->text) : 0;
}

void names_fault_event(struct names *names, enum event_kind kind, uint32_t id, uint32_t process, uint64_t now_ns)
{
	struct event *event = stream_event(names->stream);

	if (!event)
		return;
	event->kind = kind;
	event->enter_ns = event->return_ns = now_ns;
	event->peer = process;
	event_fill(names, event, id);
}

void take_fault(struct names *names, const struct rec_fault *fault, uint32_t box, struct process *process)
{
	struct end *end = fault->cookie ? end_find(names, fault->cookie) : NULL;
	struct event *event;

	if (fault->state != RULE_FIRED) /* in a dry run nothing happened */
		return;
	event = record_event(names, EVENT_FIRED, &fault->head, box, process);
	if (!event)
		return;
	event->end = end ? end->index : 0;
	event->pos = fault->pos;
	event->message = fault->message;
	event_fill(names, event, fault->id);
}

void fault_texts_free(struct names *names)
{
	struct fault_text *fault, *next;

	HASH_ITER(hh, names->faults, fault, next)
	{
		HASH_DEL(names->faults, fault);
		free(fault);
	}
}
