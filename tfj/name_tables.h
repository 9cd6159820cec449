/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What names (tfj/name.h) know, shared by name.c, which keeps it, and name_record.c, which reads records by it. */
#ifndef TFJ_NAME_TABLES_H
#define TFJ_NAME_TABLES_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tfj/name.h"

/* Keys are small numbers or short labels: one multiplication a word does better than the default for them. */
#define HASH_FUNCTION(key, length, hash) ((hash) = key_hash(key, length))
static inline unsigned key_hash(const void *key, size_t length)
{
	const unsigned char *p = key;
	uint64_t h = length, word;

	for (; length; length -= length < 8 ? length : 8, p += 8) {
		word = 0;
		memcpy(&word, p, length < 8 ? length : 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}
#include <uthash.h>

struct process {
	UT_hash_handle hh;
	uint32_t tgid;
	uint32_t index;
	uint32_t root;	 /* index of the process that we started and that this one descends from, 0 none */
	uint32_t unnamed; /* children whose number is not known (lost record) */
	bool provisional; /* seen before the record that announces it */
	bool fresh;	 /* started by us, has not executed anything else yet */
};

struct thread {
	UT_hash_handle hh;
	uint32_t tid;
	uint32_t tgid;
	uint32_t ordinal;
	bool lent; /* the kernel's own, for io_uring: what it does counts for the thread whose ordinal this is */
};

struct end {
	UT_hash_handle hh;
	uint64_t cookie;
	uint32_t index;
};

/* A port of a box that the kernel chose, or that datagrams go to. */
struct port {
	UT_hash_handle hh;
	uint32_t key;	  /* box and number */
	uint32_t ordinal; /* the k-th that the kernel chose in that box; 0: a program did, the last time */
	bool named;	  /* was ever chosen by the kernel */
	struct exchange *exchanges; /* whose label is that of this port */
};

/* A label, and how often it was given away. */
struct label {
	UT_hash_handle hh;
	unsigned n;
	char text[];
};

/* What a fault is called in events. */
struct fault_text {
	UT_hash_handle hh;
	uint32_t id;
	char text[];
};

struct names {
	struct stream *stream;
	const struct boxes *boxes;
	uint32_t box_base;
	names_on_listen *on_listen;
	void *arg;
	struct process *processes;
	struct thread *threads;
	struct end *ends;
	struct local *locals; /* unix-domain streams and pipes, name_local.c */
	struct exchange *exchanges; /* of datagrams, name_datagram.c */
	struct label *labels;
	struct port *ports;
	uint32_t chosen[BOX_MAX + 1]; /* by the kernel, so far, in each box */
	struct fault_text *faults;
	struct process *last_process; /* the most recent ones: most records come in runs */
	struct end *last_end;
};


/* The event of a record with all that every kind has. NULL: no memory. */
struct event *record_event(struct names *names, enum event_kind kind, const struct rec_head *head, uint32_t box,
			   const struct process *process);

/* An end of a unix-domain stream or pipe, by the id that records have; a new one begins where the last one is over. */
uint32_t local_connect(struct names *names, const struct rec_connect *connect, uint32_t box, struct process *process);
uint32_t local_accept(struct names *names, const struct rec_accept *accept, uint32_t box);
void take_local(struct names *names, const struct rec_local *local, uint32_t box, struct process *process);
uint32_t local_end(struct names *names, uint64_t id);
void locals_free(struct names *names);

/* DATAGRAM_SENT, DATAGRAM_TAKEN. */
void take_datagram(struct names *names, const struct rec_datagram *record, uint32_t box, struct process *process);
void exchanges_free(struct names *names);

/* What a record tells of a fault. name_fault.c */
void take_fault(struct names *names, const struct rec_fault *fault, uint32_t box, struct process *process);
void fault_texts_free(struct names *names);

/* The label itself, or with 'K when it was given away K - 1 times before. malloc'ed. */
char *label_take(struct names *names, const char *text);

/* NULL: unknown. */
struct process *process_find(struct names *names, uint32_t tgid);

/* A new row, and the id refers to it from now on. Takes label; NULL is no memory. */
struct process *process_add(struct names *names, uint32_t tgid, uint32_t box, char *label, uint32_t parent,
				   const char *command);

/* Somebody whose beginning was not seen: `box?what`. */
struct process *process_unknown(struct names *names, uint32_t tgid, uint32_t box, const char *what);

/* Whose record it is: NULL for the kernel's own, else a row, known before or not. */
struct process *process_of(struct names *names, const struct rec_head *head, uint32_t box);

/* Without memory its events will seem to be the main thread's. */
void thread_add(struct names *names, uint32_t tgid, uint32_t tid, uint32_t ordinal);

/* The thread of that ordinal was given another, by the kernel, that works for it. */
void thread_lend(struct names *names, uint32_t tgid, uint32_t tid, uint32_t ordinal);

/* Is the record of such a one? */
bool thread_is_lent(struct names *names, const struct rec_head *head);
uint32_t thread_ordinal(struct names *names, const struct rec_head *head);
struct end *end_find(struct names *names, uint64_t cookie);

/* A new row; with a cookie, that socket is this end from now on (it can try to connect several times). */
uint32_t end_add(struct names *names, uint64_t cookie, uint32_t box, uint8_t role);

/* The row of a socket, known before or not. 0: none. */
uint32_t end_of(struct names *names, uint64_t cookie, uint32_t box, uint8_t role);

/* Makes it a connector's end, with its target. */
void end_name(struct names *names, uint32_t index, uint32_t process, const struct rec_addr *remote,
		     uint32_t ordinal);

/* The kernel has done so. */
void end_forget(struct names *names, struct end *end);
struct endpoint endpoint_of(const struct rec_addr *from);

/* Its name; "?" for one that the run does not have. Borrowed. */
const char *box_name(const struct names *names, uint32_t box);

/* The port of a box, found or made; NULL: unknown, or no memory. */
struct port *port_find(const struct names *names, uint32_t box, uint16_t port);
struct port *port_add(struct names *names, uint32_t box, uint16_t port);
/* Forgets it, if there is nothing to know of it. */
void port_drop(struct names *names, struct port *port);
void ports_free(struct names *names);

/* Somebody listens on this port of this box. */
void port_listens(struct names *names, uint32_t box, uint16_t port, bool ephemeral);

/* s1:7000; s1:*2 for the second port that the kernel chose in that box. malloc'ed. */
char *port_label(const struct names *names, uint32_t box, uint16_t port);

/* The box of that address, 0: it is of none. box: whose record it stands in. */
uint32_t target_box(const struct names *names, const struct rec_addr *remote, uint32_t box);

/* The same for an address of a box, else 192.0.2.1:7000 or [2001:db8::1]:7000. malloc'ed. */
char *target_text(const struct names *names, const struct rec_addr *remote, uint32_t box);

#endif
