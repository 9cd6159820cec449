/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One record to its event, kind by kind; rows of the tables change on the way. Must not know sockets or time. A record
 * that finds no memory is counted by the stream.
 */
#include <errno.h>
#include <stdio.h>

#include "tfj/name_tables.h"

struct event *record_event(struct names *names, enum event_kind kind, const struct rec_head *head, uint32_t box,
			   const struct process *process)
{
	struct event *event = stream_event(names->stream);

	if (!event)
		return NULL;
	event->kind = kind;
	event->enter_ns = head->enter_ns;
	event->return_ns = head->return_ns;
	event->order = head->order;
	event->seq = head->seq;
	event->box = box;
	event->process = process ? process->index : 0;
	event->thread = process ? thread_ordinal(names, head) : 0;
	return event;
}

uint32_t names_root(struct names *names, const char *name, uint32_t box, uint32_t pid, const char *command)
{
	struct process *process = process_add(names, pid, box, label_take(names, name), 0, command);

	if (!process)
		return 0;
	process->root = process->index;
	process->fresh = true;
	return process->index;
}

/* older: it was there before, and is seen from now on. */
static void start_event(struct names *names, uint32_t index, bool older, uint64_t now_ns)
{
	const struct trace_process *row = &names->stream->part.processes[index];
	struct event *event = stream_event(names->stream);

	if (!event)
		return;
	event->kind = EVENT_START;
	event->enter_ns = event->return_ns = now_ns;
	event->box = row->box;
	event->process = index;
	event->text = row->command && *row->command ? stream_text(names->stream, row->command) : 0;
	event->value = older;
}

void names_start(struct names *names, uint32_t process, uint64_t now_ns)
{
	start_event(names, process, false, now_ns);
}

void names_note(struct names *names, enum event_kind kind, int64_t value, const char *text, uint64_t now_ns)
{
	struct event *event = stream_event(names->stream);

	if (!event)
		return;
	event->kind = kind;
	event->enter_ns = event->return_ns = now_ns;
	event->value = value;
	event->text = stream_text(names->stream, text);
}

/* k-th child of s1 is s1.k; s1.?k when the kernel did not say which one it is. */
static char *child_label(struct names *names, struct process *parent, uint32_t ordinal)
{
	const char *name = names->stream->part.processes[parent->index].name;
	char *text, *label;
	int n;

	if (ordinal)
		n = asprintf(&text, "%s.%u", name, ordinal);
	else
		n = asprintf(&text, "%s.?%u", name, ++parent->unnamed);
	if (n < 0)
		return NULL;
	label = label_take(names, text);
	free(text);
	return label;
}

uint32_t names_attach(struct names *names, const char *name, uint32_t box, uint32_t pid, const char *command, uint64_t now_ns)
{
	uint32_t index = names_root(names, name, box, pid, command);

	if (!index)
		return 0;
	process_find(names, pid)->fresh = false;
	start_event(names, index, true, now_ns);
	return index;
}

int names_follow(struct names *names, const struct followed *followed, const char *command, uint64_t now_ns)
{
	bool thread = followed->tid != followed->tgid;
	struct process *of = process_find(names, thread ? followed->tgid : followed->parent_tgid), *child;
	uint32_t root, parent;

	if (!of)
		return 0; /* it ended meanwhile, and others of its have ended before */
	if (thread) {
		if (followed->ordinal)
			thread_add(names, followed->tgid, followed->tid, followed->ordinal);
		else /* whose is not known: the main thread's */
			thread_lend(names, followed->tgid, followed->tid, 0);
		return 0;
	}
	root = of->root;
	parent = of->index;
	child = process_add(names, followed->tgid, names->stream->part.processes[parent].box,
			    child_label(names, of, followed->ordinal), parent, command);
	if (!child)
		return -ENOMEM;
	child->root = root;
	start_event(names, child->index, true, now_ns);
	return 0;
}

static struct process *child_add(struct names *names, struct process *parent, const struct rec_fork *fork,
				 uint32_t box)
{
	struct process *child = process_find(names, fork->child_tgid);
	uint32_t root = parent->root, parent_index = parent->index;
	char *label = child_label(names, parent, fork->ordinal), *command;
	struct trace_process *row;

	if (child && child->provisional && label) {
		row = stream_process(names->stream, child->index);
		if (!row) {
			free(label);
			return NULL;
		}
		free(row->name);
		row->name = label;
		row->parent = parent_index;
		child->provisional = false;
	} else {
		command = names->stream->part.processes[parent_index].command;
		child = process_add(names, fork->child_tgid, box, label, parent_index, command ? command : "");
	}
	if (child)
		child->root = root;
	return child;
}

static void take_fork(struct names *names, const struct rec_fork *fork, uint32_t box, struct process *process)
{
	bool thread = fork->head.flags & REC_F_GROUP;
	struct process *child;
	struct event *event;

	if (thread && !fork->ordinal) { /* the kernel makes and ends them when it likes: no events of the program */
		thread_lend(names, fork->head.tgid, fork->child_tid, thread_ordinal(names, &fork->head));
		return;
	}
	event = record_event(names, EVENT_SPAWN, &fork->head, box, process);
	if (!event || !process)
		return;
	event->value = fork->ordinal;
	if (thread) {
		event->flags = EVENT_F_THREAD;
		thread_add(names, fork->head.tgid, fork->child_tid, fork->ordinal);
		return;
	}
	child = child_add(names, process, fork, box);
	if (!child)
		return;
	event->peer = child->index;
	start_event(names, child->index, false, fork->head.return_ns);
}

static void take_exec(struct names *names, const struct rec_exec *exec, uint32_t box, struct process *process)
{
	struct event *event;
	struct trace_process *row;
	char path[REC_NAME_MAX + 1], *command;

	snprintf(path, sizeof(path), "%.*s", REC_NAME_MAX, exec->name);
	event = record_event(names, EVENT_EXEC, &exec->head, box, process);
	if (!event || !process)
		return;
	event->text = stream_text(names->stream, path);
	if (process->fresh) { /* the whole command line is known already */
		process->fresh = false;
		return;
	}
	command = strdup(path);
	row = command ? stream_process(names->stream, process->index) : NULL;
	if (!row) {
		free(command);
		return;
	}
	free(row->command);
	row->command = command;
}

static void take_appear(struct names *names, const struct rec_exec *exec, uint32_t box)
{
	struct process *process = process_find(names, exec->head.tgid);
	char comm[sizeof(exec->comm) + 1];

	if (process && !process->provisional)
		return;
	snprintf(comm, sizeof(comm), "%.*s", (int)sizeof(exec->comm), exec->comm);
	process = process_unknown(names, exec->head.tgid, box, comm);
	if (process)
		start_event(names, process->index, false, exec->head.return_ns);
}

static void take_exit(struct names *names, const struct rec_exit *exit, uint32_t box, struct process *process)
{
	bool group = exit->head.flags & REC_F_GROUP;
	struct event *event;

	if (!group && thread_is_lent(names, &exit->head))
		return;
	event = record_event(names, EVENT_EXIT, &exit->head, box, process);
	if (!event)
		return;
	event->value = exit->status;
	event->flags = group ? 0 : EVENT_F_THREAD;
}

static void take_wait(struct names *names, const struct rec_wait *wait, uint32_t box, struct process *process)
{
	struct process *child = process_find(names, wait->child_tgid);
	struct event *event = record_event(names, EVENT_WAIT, &wait->head, box, process);

	if (event)
		event->peer = child ? child->index : 0;
}

static void take_listen(struct names *names, const struct rec_listen *listen, uint32_t box, struct process *process)
{
	struct event *event = record_event(names, EVENT_LISTEN, &listen->head, box, process);
	bool ephemeral = listen->head.flags & REC_F_EPHEMERAL;
	char *label;

	port_listens(names, box, listen->local.port, ephemeral);
	label = event && ephemeral ? port_label(names, box, listen->local.port) : NULL;
	if (event)
		event->value = listen->local.port;
	if (label)
		event->text = stream_text(names->stream, label);
	free(label);
	if (process && process->root)
		names->on_listen(names->arg, process->root, listen->local.port);
}

static void take_open(struct names *names, const struct rec_open *open, uint32_t box, struct process *process)
{
	uint32_t end = end_add(names, open->cookie, box, END_CONNECTOR);

	if (end)
		end_name(names, end, process ? process->index : 0, &open->remote, open->ordinal);
}

static void take_connect(struct names *names, const struct rec_connect *connect, uint32_t box, struct process *process)
{
	struct end *known = connect->cookie && !connect->local ? end_find(names, connect->cookie) : NULL;
	uint32_t index = connect->local ? local_connect(names, connect, box, process) :
			 known		? known->index :
					  end_add(names, connect->cookie, box, END_CONNECTOR);
	struct trace_end *row;
	struct event *event;

	if (index && !known && !connect->local)
		end_name(names, index, process ? process->index : 0, &connect->remote, connect->ordinal);
	row = index && connect->result < 0 && connect->result != -EINPROGRESS ? stream_end(names->stream, index) : NULL;
	if (row && !row->keyed)
		row->error = connect->result;
	event = record_event(names, EVENT_CONNECT, &connect->head, box, process);
	if (!event)
		return;
	event->end = index;
	event->value = connect->result;
}

static void take_established(struct names *names, const struct rec_established *established, uint32_t box,
			     const struct process *process)
{
	bool acceptor = established->head.flags & REC_F_ACCEPTOR, unknown = established->head.flags & REC_F_UNKNOWN;
	uint8_t role = unknown ? END_UNKNOWN : acceptor ? END_ACCEPTOR : END_CONNECTOR;
	uint32_t index = end_of(names, established->cookie, box, role);
	struct trace_end *row = stream_end(names->stream, index);

	if (!row)
		return;
	if (role == END_ACCEPTOR)
		row->role = role;
	row->local = endpoint_of(&established->local);
	row->remote = endpoint_of(&established->remote);
	row->first_local = established->first_local;
	row->first_remote = established->first_remote;
	row->keyed = !unknown;
	row->older = established->head.flags & REC_F_OLDER;
	if (row->older && role == END_CONNECTOR)
		row->process = process ? process->index : 0;
	row->established_ns = established->head.return_ns;
	if (role == END_CONNECTOR && !row->target)
		row->target = target_text(names, &established->remote, box);
}

static void take_failed(struct names *names, const struct rec_failed *failed, uint32_t box)
{
	struct trace_end *row = stream_end(names->stream, end_of(names, failed->cookie, box, END_CONNECTOR));

	if (row)
		row->error = failed->error;
}

static void take_accept(struct names *names, const struct rec_accept *accept, uint32_t box, struct process *process)
{
	uint32_t end = accept->local ? local_accept(names, accept, box) : end_of(names, accept->cookie, box, END_ACCEPTOR);
	struct event *event = record_event(names, EVENT_ACCEPT, &accept->head, box, process);

	if (!event)
		return;
	event->end = end;
	event->value = accept->result < 0 ? accept->result : 0;
	event->flags = accept->head.flags & REC_F_INFERRED ? EVENT_F_INFERRED : 0;
}

static void take_transfer(struct names *names, enum event_kind kind, const struct rec_transfer *transfer, uint32_t box,
			struct process *process)
{
	uint32_t end = transfer->local ? local_end(names, transfer->cookie) :
					 end_of(names, transfer->cookie, box, END_UNKNOWN);
	struct event *event = record_event(names, kind, &transfer->head, box, process);
	unsigned flags = transfer->head.flags;

	if (!event)
		return;
	event->end = end;
	event->pos = transfer->pos;
	event->value = transfer->result;
	event->message = transfer->message;
	event->flags = (flags & REC_F_CONTINUED ? EVENT_F_CONTINUED : 0) |
		       (flags & REC_F_INTERLEAVED ? EVENT_F_INTERLEAVED : 0) |
		       (flags & REC_F_URGENT ? EVENT_F_URGENT : 0) | (flags & REC_F_SKIPPED ? EVENT_F_SKIPPED : 0);
}

static void take_close(struct names *names, enum event_kind kind, const struct rec_close *close, uint32_t box,
		     struct process *process)
{
	uint32_t end = end_of(names, close->cookie, box, END_UNKNOWN);
	struct event *event = record_event(names, kind, &close->head, box, process);
	unsigned flags = close->head.flags;

	if (!event)
		return;
	event->end = end;
	event->pos = kind == EVENT_RESET ? close->received : close->sent;
	event->value = kind == EVENT_RESET ? 0 : close->unacked;
	event->flags = (flags & REC_F_SHUTDOWN ? EVENT_F_SHUTDOWN : 0) | (flags & REC_F_RST ? EVENT_F_RST : 0) |
		       (flags & REC_F_EXITING ? EVENT_F_EXITING : 0);
}

static void take_destroy(struct names *names, const struct rec_close *close)
{
	struct end *end = end_find(names, close->cookie);
	struct trace_end *row = end ? stream_end(names->stream, end->index) : NULL;

	if (row) {
		row->finished = true;
		row->sent = close->sent;
		row->received = close->received;
		row->unacked = close->unacked;
		row->unread = close->unread;
	}
	if (!end)
		return;
	end_forget(names, end);
}

void names_content(struct names *names, const struct kept_content *kept)
{
	const struct end *end = end_find(names, kept->cookie);
	struct trace_content content = { .message = kept->message, .flags = kept->flags, .size = kept->size };

	if (!end)
		return;
	content.end = end->index;
	content.bytes = malloc(kept->size + 1);
	if (!content.bytes)
		return;
	memcpy(content.bytes, kept->bytes, kept->size);
	stream_content(names->stream, &content);
}

static size_t record_size(unsigned kind)
{
	static const size_t sizes[REC_KIND_COUNT] = {
#define X(name, type, text) [REC_##name] = sizeof(struct type),
		RECORD_KINDS(X)
#undef X
	};

	return kind < REC_KIND_COUNT ? sizes[kind] : 0;
}

void names_record(struct names *names, const struct rec_head *record, size_t size)
{
	struct process *process;
	uint32_t box;

	if (size < sizeof(*record) || !record_size(record->kind) || size < record_size(record->kind) ||
	    record->box <= names->box_base || record->box - names->box_base > names->boxes->n)
		return;
	box = record->box - names->box_base;
	process = record->kind == REC_APPEAR ? NULL : process_of(names, record, box);
	switch ((enum rec_kind)record->kind) {
#define RECORD(type) ((const struct type *)record)
	case REC_FORK:
		return take_fork(names, RECORD(rec_fork), box, process);
	case REC_EXEC:
		return take_exec(names, RECORD(rec_exec), box, process);
	case REC_EXIT:
		return take_exit(names, RECORD(rec_exit), box, process);
	case REC_WAIT:
		return take_wait(names, RECORD(rec_wait), box, process);
	case REC_APPEAR:
		return take_appear(names, RECORD(rec_exec), box);
	case REC_LISTEN:
		return take_listen(names, RECORD(rec_listen), box, process);
	case REC_OPEN:
		return take_open(names, RECORD(rec_open), box, process);
	case REC_CONNECT:
		return take_connect(names, RECORD(rec_connect), box, process);
	case REC_ESTABLISHED:
		return take_established(names, RECORD(rec_established), box, process);
	case REC_FAILED:
		return take_failed(names, RECORD(rec_failed), box);
	case REC_ACCEPT:
		return take_accept(names, RECORD(rec_accept), box, process);
	case REC_SEND:
		return take_transfer(names, EVENT_SEND, RECORD(rec_transfer), box, process);
	case REC_RECV:
		return take_transfer(names, EVENT_RECV, RECORD(rec_transfer), box, process);
	case REC_CLOSE:
		return take_close(names, EVENT_CLOSE, RECORD(rec_close), box, process);
	case REC_RESET:
		return take_close(names, EVENT_RESET, RECORD(rec_close), box, process);
	case REC_DESTROY:
		return take_destroy(names, RECORD(rec_close));
	case REC_DATAGRAM_SENT:
	case REC_DATAGRAM_TAKEN:
		return take_datagram(names, RECORD(rec_datagram), box, process);
	case REC_LOCAL:
		return take_local(names, RECORD(rec_local), box, process);
	case REC_FAULT:
		return take_fault(names, RECORD(rec_fault), box, process);
	case REC_CONTENT: /* tfj/content.h has it */
	case REC_NONE:
	case REC_KIND_COUNT:
#undef RECORD
		return;
	}
}
