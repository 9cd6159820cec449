/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The content of a datagram as 64 bits, read from the buffer of the program whose call it is: the upper half is of its
 * first 16 bytes, the lower half of its first DIGEST_BYTES and its size. 0: it could not be read. Both ends read theirs, so
 * nothing has to travel with the datagram, and no packet is looked at.
 */
#ifndef BPF_DIGEST_BPF_H
#define BPF_DIGEST_BPF_H

#include "bpf/compat.bpf.h"
#include "bpf/maps.bpf.h"

#define DIGEST_BYTES 256
#define DIGEST_HEAD 16
#define DIGEST_VECTORS 8 /* pieces of a buffer that are looked at: more, and it counts as not readable */

/* Counts stand in memory, not in registers: so the verifier need not follow every value that they can have. */
struct digest_room {
	volatile __u64 capacity; /* of all pieces together */
	volatile __u32 filled;
	volatile __u32 n;
	__u8 bytes[2 * DIGEST_BYTES]; /* twice: a piece may begin anywhere in the first half */
};

/* One for sends, one for receives: a program of one kind is never interrupted by another of its kind on its CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct digest_room);
} digest_rooms SEC(".maps") __weak;

/* struct iovec, msghdr and mmsghdr of a 64-bit program. */
struct user_vector {
	__u64 base;
	__u64 size;
};

struct user_msghdr {
	__u64 name;
	__u32 name_size;
	__u32 pad;
	__u64 vectors;
	__u64 n_vectors;
};

#define USER_MMSGHDR 64

/* Where the program has what it sends or receives. */
struct user_message {
	__u64 name;	 /* its address argument; 0: none */
	__u64 vectors;	 /* 0: one buffer, below */
	__u64 n_vectors; /* 0 and no buffer: not known */
	struct user_vector buffer;
};

static __always_inline __u64 digest_mix(__u64 h, __u64 word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

/* One piece, as much of it as is wanted. 0, or -1: it cannot be read. */
static __always_inline int piece_copy(struct digest_room *room, const struct user_vector *piece, __u64 want)
{
	__u32 filled = room->filled;
	__u64 n = want - filled;

	room->capacity += piece->size;
	if (filled >= want || !piece->size)
		return 0;
	if (n > piece->size)
		n = piece->size;
	if (n > DIGEST_BYTES || filled > DIGEST_BYTES)
		return -1;
	if (bpf_probe_read_user(room->bytes + filled, n, (void *)piece->base))
		return -1;
	room->filled = filled + n;
	return 0;
}

/* The first bytes of all pieces, up to DIGEST_BYTES. 0, or -1: they cannot be read. */
static __always_inline int pieces_copy(struct digest_room *room, const struct user_message *message, __u64 size)
{
	struct user_vector piece = message->buffer;
	__u64 want = size < DIGEST_BYTES ? size : DIGEST_BYTES;

	room->filled = 0;
	room->capacity = 0;
	if (!message->vectors)
		return message->buffer.base ? piece_copy(room, &piece, want) : -1;
	if (message->n_vectors > DIGEST_VECTORS)
		return -1;
	for (__u32 i = 0; i < DIGEST_VECTORS; i++) {
		if (i >= message->n_vectors)
			break;
		if (bpf_probe_read_user(&piece, sizeof(piece), (void *)(message->vectors + i * sizeof(piece))) ||
		    piece_copy(room, &piece, want))
			return -1;
	}
	return 0;
}

static __always_inline __u64 room_digest(struct digest_room *room, __u64 size)
{
	__u64 head = 1, body = digest_mix(2, size), word;
	__u32 n = room->n;

#pragma unroll
	for (__u32 i = 0; i < DIGEST_BYTES / 8; i++) {
		if (i * 8 >= n)
			break;
		word = ((__u64 *)room->bytes)[i];
		if (n - i * 8 < 8)
			word &= (1ULL << ((n - i * 8) * 8)) - 1;
		body = digest_mix(body, word);
		if (i * 8 < DIGEST_HEAD)
			head = digest_mix(head, word);
	}
	return head >> 32 << 32 | (__u32)(body >> 32) | 1;
}

/* Digest of a message of `size` bytes. which: 0 a send, 1 a receive; ret_cut: the program's buffer was full. */
verified_once __u64 digest_take(__u32 which, const struct user_message *message, __u64 size, int *ret_cut)
{
	struct digest_room *room = bpf_map_lookup_elem(&digest_rooms, &which);
	__u64 there = size;

	if (!room || !message || !ret_cut)
		return 0;
	room->n = 0;
	if (size) {
		if (pieces_copy(room, message, size))
			return 0;
		*ret_cut = size >= room->capacity;
		if (there > room->capacity)
			there = room->capacity;
		room->n = room->filled;
		if (room->n != (there < DIGEST_BYTES ? there : DIGEST_BYTES))
			return 0;
	}
	return room_digest(room, there);
}

#endif
