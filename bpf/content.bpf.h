/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first bytes of what a send is about to queue, read from the sender's own memory. Reads what can be read where it
 * lies, in order, and stops at the first piece that cannot: what is shorter than what was asked for was not readable.
 *
 * A part of its own, loaded only while somebody wants content: when nobody does, it costs nothing.
 */
#ifndef BPF_CONTENT_BPF_H
#define BPF_CONTENT_BPF_H

#include "bpf/scope.bpf.h"

#define CONTENT_PIECES 128 /* that are read of one send, at most; a piece does not cross a page */
#define CONTENT_PAGE 4096

/* Set by tfj while it runs. */
extern volatile __u32 content_bytes; /* of each send; at most REC_CONTENT_MAX */
extern volatile __u64 content_wake;  /* a wake-up when so many bytes were put into the ring on one CPU */
/* Addresses of the kernel's variables that say where pages lie; 0: this kernel does not tell. */
extern volatile __u64 page_map_at, page_memory_at;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct iovec {
	void *iov_base;
	__u64 iov_len;
};

struct page {
	unsigned long flags;
};

struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
};

/* Since 6.4 (747b1f65d39a). iov_offset counts inside the first segment. */
struct iov_iter___new {
	__u8 iter_type;
	unsigned long iov_offset;
	unsigned long count;
	const struct iovec *__iov;
	const struct bio_vec *bvec;
	void *ubuf;
	unsigned long nr_segs;
};

/* Before. */
struct iov_iter___old {
	const struct iovec *iov;
};

#pragma clang attribute pop

/* Values differ between kernels. */
enum iter_type___here {
	ITER_UBUF___here,
	ITER_IOVEC___here,
	ITER_BVEC___here,
	ITER_KVEC___here,
};

#define ITER_IS(type, NAME)                                                                        \
	(bpf_core_enum_value_exists(enum iter_type___here, NAME##___here) &&                       \
	 (type) == bpf_core_enum_value(enum iter_type___here, NAME##___here))

enum content_source { SOURCE_NONE, SOURCE_USER, SOURCE_KERNEL, SOURCE_USER_VECTOR, SOURCE_KERNEL_VECTOR, SOURCE_PAGES };

struct content_reading {
	enum content_source source;
	__u32 size;  /* read so far */
	__u32 limit;
	__u64 base;	/* USER, KERNEL: where it begins; else address of the vector in the kernel */
	__u64 segments;
	__u64 segment;
	__u64 offset; /* in the segment */
	__u64 length; /* USER, KERNEL: of it */
};

/*
 * A record in the making; one a CPU is enough: sends are never made in a softirq. How far it is lies in it, too: of what
 * is in a map the verifier remembers nothing, so every round of the loop looks the same to it.
 */
struct content_room {
	struct content_reading reading;
	struct rec_content record;
	unsigned char bytes[REC_CONTENT_MAX + CONTENT_PAGE]; /* the verifier knows that at + piece stays below this */
	__u64 since; /* bytes since the last wake-up */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct content_room);
} content_rooms SEC(".maps") __weak;

/* Where the kernel has a page in its memory; 0: it does not say. */
static __always_inline __u64 page_address(struct page *page)
{
	__u64 map = 0, memory = 0, size = bpf_core_type_size(struct page);

	if (!page_map_at || !page_memory_at || !page || !size)
		return 0;
	bpf_probe_read_kernel(&map, sizeof(map), (void *)page_map_at);
	bpf_probe_read_kernel(&memory, sizeof(memory), (void *)page_memory_at);
	if (!map || !memory || (__u64)page < map)
		return 0;
	return memory + ((__u64)page - map) / size * CONTENT_PAGE;
}

/* The segment that is to be read: where, how long. 0: there is none, or it cannot be read. */
static __always_inline __u64 segment_find(const struct content_reading *r, __u64 *ret_length)
{
	struct bio_vec *pages;
	struct iovec iov = {};
	struct page *page;
	__u64 at;

	switch (r->source) {
	case SOURCE_USER:
	case SOURCE_KERNEL:
		*ret_length = r->length;
		return r->base;
	case SOURCE_USER_VECTOR:
	case SOURCE_KERNEL_VECTOR:
		if (bpf_probe_read_kernel(&iov, sizeof(iov), (struct iovec *)r->base + r->segment))
			return 0;
		*ret_length = iov.iov_len;
		return (__u64)iov.iov_base;
	case SOURCE_PAGES:
		pages = (struct bio_vec *)(r->base + r->segment * bpf_core_type_size(struct bio_vec));
		page = BPF_CORE_READ(pages, bv_page);
		*ret_length = BPF_CORE_READ(pages, bv_len);
		at = page_address(page);
		return at ? at + BPF_CORE_READ(pages, bv_offset) : 0;
	case SOURCE_NONE:
		break;
	}
	return 0;
}

/* Reads one piece more; 1: there is no more to read. Called by bpf_loop. */
static long piece_read(__u32 i, void *unused)
{
	__u32 zero = 0, at, piece;
	struct content_room *room = bpf_map_lookup_elem(&content_rooms, &zero);
	struct content_reading *r;
	__u64 length = 0, from, left;
	long err;

	if (!room)
		return 1;
	r = &room->reading;
	at = r->size;
	if (at >= r->limit || r->segment >= r->segments)
		return 1;
	from = segment_find(r, &length);
	if (length <= r->offset && (from || !length)) { /* nothing in it */
		r->segment++;
		r->offset = 0;
		return 0;
	}
	if (!from)
		return 1;
	from += r->offset;
	left = CONTENT_PAGE - (from & (CONTENT_PAGE - 1));
	if (left > length - r->offset)
		left = length - r->offset;
	if (left > r->limit - at)
		left = r->limit - at;
	piece = left;
	barrier_var(piece);
	barrier_var(at);
	if (at >= REC_CONTENT_MAX || piece > CONTENT_PAGE)
		return 1;
	if (r->source == SOURCE_USER || r->source == SOURCE_USER_VECTOR)
		err = bpf_probe_read_user(room->bytes + at, piece, (void *)from);
	else
		err = bpf_probe_read_kernel(room->bytes + at, piece, (void *)from);
	if (err)
		return 1;
	r->size += piece;
	r->offset += piece;
	if (r->offset == length) {
		r->segment++;
		r->offset = 0;
	}
	return 0;
}

static __always_inline void iter_look(struct iov_iter___new *iter, struct content_reading *r)
{
	__u32 type = BPF_CORE_READ(iter, iter_type);

	r->offset = BPF_CORE_READ(iter, iov_offset);
	r->segments = 1;
	if (bpf_core_field_exists(iter->ubuf) && ITER_IS(type, ITER_UBUF)) {
		r->source = SOURCE_USER;
		r->base = (__u64)BPF_CORE_READ(iter, ubuf);
		r->length = r->offset + BPF_CORE_READ(iter, count);
		return;
	}
	r->segments = BPF_CORE_READ(iter, nr_segs);
	if (ITER_IS(type, ITER_BVEC)) {
		r->source = SOURCE_PAGES;
		r->base = (__u64)BPF_CORE_READ(iter, bvec);
		return;
	}
	if (ITER_IS(type, ITER_IOVEC))
		r->source = SOURCE_USER_VECTOR;
	else if (ITER_IS(type, ITER_KVEC))
		r->source = SOURCE_KERNEL_VECTOR;
	else
		r->source = SOURCE_NONE;
	if (bpf_core_field_exists(iter->__iov))
		r->base = (__u64)BPF_CORE_READ(iter, __iov);
	else
		r->base = (__u64)BPF_CORE_READ((struct iov_iter___old *)iter, iov);
}

/* The room of this CPU, empty, if the current task sends on a socket of ours. */
static __always_inline struct content_room *room_open(struct sock *sk, struct sock_state **ret_ss)
{
	struct content_room *room;
	__u32 zero = 0;

	*ret_ss = sock_find(sk);
	if (!*ret_ss)
		return 0;
	room = bpf_map_lookup_elem(&content_rooms, &zero);
	if (room)
		__builtin_memset(&room->reading, 0, sizeof(room->reading));
	return room;
}

/* Reads, and puts the record out. The send is about to queue `left` bytes. */
static __always_inline int content_emit(struct content_room *room, struct sock_state *ss, __u64 left)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_state *state = task_current(task, ss->box);
	struct content_reading *r = &room->reading;
	struct rec_head *head;
	__u64 wake = 0;
	__u32 size;

	if (!state)
		return 0;
	r->limit = content_bytes < REC_CONTENT_MAX ? content_bytes : REC_CONTENT_MAX;
	if (r->limit > left)
		r->limit = left;
	if (r->source != SOURCE_NONE)
		bpf_loop(CONTENT_PIECES, piece_read, 0, 0);
	size = r->size;
	barrier_var(size);
	if (size > REC_CONTENT_MAX)
		return 0;
	room->record.cookie = ss->cookie;
	room->record.asked = left;
	room->record.size = size;
	room->record.limit = content_bytes;
	if (!++state->send.contents)
		state->send.contents = 1;
	room->record.number = state->send.content = state->send.contents;
	head = &room->record.head;
	head->enter_ns = head->return_ns = bpf_ktime_get_ns();
	head->order = 0;
	head->tgid = task->tgid;
	head->tid = task->pid;
	head->kind = REC_CONTENT;
	head->flags = 0;
	head->box = ss->box;
	room->since += sizeof(room->record) + size;
	if (room->since >= content_wake) {
		room->since = 0;
		wake = 1;
	}
	record_output(head, sizeof(room->record) + size, wake);
	return 0;
}

static __always_inline int content_of_message(struct sock *sk, struct msghdr *msg, __u64 left)
{
	struct sock_state *ss;
	struct content_room *room = room_open(sk, &ss);

	if (!room)
		return 0;
	iter_look((struct iov_iter___new *)&msg->msg_iter, &room->reading);
	return content_emit(room, ss, left);
}

static __always_inline int content_of_page(struct sock *sk, struct page *page, __u64 offset, __u64 size)
{
	__u64 at = page_address(page);
	struct sock_state *ss;
	struct content_room *room = room_open(sk, &ss);

	if (!room)
		return 0;
	if (at) {
		room->reading.source = SOURCE_KERNEL;
		room->reading.base = at + offset;
		room->reading.length = size;
		room->reading.segments = 1;
	}
	return content_emit(room, ss, size);
}

#endif
