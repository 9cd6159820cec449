/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From records to events: kernel ids become names. Knows the processes, threads and connections of one run. The
 * mapping of a process outlives its exit, because its sockets are closed after that; an id that the kernel gives away
 * again is taken over by the record of the fork that did.
 */
#ifndef TFJ_NAME_H
#define TFJ_NAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/record.h"
#include "bpf/state.h"
#include "lib/error.h"
#include "tfj/batch.h"
#include "tfj/box.h"
#include "tfj/content.h"

struct names;

/* A socket of the process `root` (an index that names_root returned), or of a descendant, listens on port. */
typedef void names_on_listen(void *arg, uint32_t root, uint16_t port);

/* Writes the boxes into the stream. Records carry box_base + the box's index. Both are borrowed. NULL: no memory. */
struct names *names_new(struct stream *stream, const struct boxes *boxes, uint32_t box_base,
			names_on_listen *on_listen, void *arg);
void names_free(struct names *names);

/*
 * A process that we start, by the name it has in the experiment: its label, 'K appended when the name was used before
 * in this run. command: as it will be shown. Returns its index, 0 without memory.
 */
uint32_t names_root(struct names *names, const char *name, uint32_t box, uint32_t pid, const char *command);

/* The label that the next one of this name gets. malloc'ed; NULL without memory. */
char *names_next_label(struct names *names, const char *name);

/* The last process with that label, and its number, if that still means it as far as is known. 0: none. */
uint32_t names_process(struct names *names, const char *label, pid_t *ret_pid);

/* The k-th port that the kernel chose for a listener in that box; 0: there is none yet. */
uint16_t names_port(const struct names *names, uint32_t box, uint32_t k);

/* That process begins to run, now. */
void names_start(struct names *names, uint32_t process, uint64_t now_ns);

/* The same of a process that was there before, and is seen from now on. 0 without memory. */
uint32_t names_attach(struct names *names, const char *name, uint32_t box, uint32_t pid, const char *command, uint64_t now_ns);
/*
 * A thread or child that it had, behind its parent. command: as of names_root, not looked at for a thread. -ENOMEM.
 */
int names_follow(struct names *names, const struct followed *followed, const char *command, uint64_t now_ns);

/* MARK or LOST: an event of nobody. */
void names_note(struct names *names, enum event_kind kind, int64_t value, const char *text, uint64_t now_ns);

/* A record that is damaged, or of a box that is not of this run, is left out. */
void names_record(struct names *names, const struct rec_head *record, size_t size);

/*
 * A fault by its number, from 1, as records tell of it: its text. ARMED, FIRED, LIFTED or EXPIRED: an event about it; process:
 * which one it is about, 0 none. A REC_FAULT makes its own.
 */
void names_fault(struct names *names, uint32_t id, const char *text);
void names_fault_event(struct names *names, enum event_kind kind, uint32_t id, uint32_t process, uint64_t now_ns);

/* The first bytes of a message that has begun. */
void names_content(struct names *names, const struct kept_content *content);

/* How many sockets the kernel has not forgotten yet. */
size_t names_open_ends(const struct names *names);

#endif
