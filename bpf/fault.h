/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Faults: the ABI between the programs in bpf/ and tfj. A rule waits for its moment, which is found by the number of
 * a message on a connection that is known by its name; then it acts on packets of that connection by their sequence
 * numbers, on packets between boxes, or on the process. tfj writes rules, the programs change what is marked as
 * theirs.
 *
 * Times are bpf_ktime_get_ns() (CLOCK_MONOTONIC). Labels and names are 64-bit numbers that both sides can compute:
 * the hashes are here and nowhere else.
 */
#ifndef BPF_FAULT_H
#define BPF_FAULT_H

#include <linux/types.h>

#define RULE_MAX 12288	    /* ids of rules are below */
#define RULE_SHARED 4	    /* rules of one moment, or between two boxes */
#define RULE_FLOW 8	    /* rules in effect on one connection */
#define RULE_BOX_NONE 0	    /* whoever is in no box that we know */
#define RULE_BOX_ALL 0xffffff /* everyone else */

static inline __attribute__((always_inline)) __u64 fault_mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ULL;
	return hash ^ hash >> 29;
}

/* Child k of a process, from 1: of s1.1, label is that of s1 and k is 1. */
static inline __attribute__((always_inline)) __u64 fault_label_child(__u64 label, __u32 k)
{
	return label ? fault_mix(label, k) | 1 : 0;
}

/* The k-th connect of the process with that label to some box and port, which are not in it. Never 0. */
static inline __attribute__((always_inline)) __u64 fault_connector(__u64 label, __u32 ordinal)
{
	return fault_mix(label, ordinal) | 1;
}

/* Where that goes: name of the connection. box 0: ip (16 bytes, IPv4 as v4-mapped) counts. Never 0. */
static inline __attribute__((always_inline)) __u64 fault_connection_name(__u64 connector, __u32 box, const __u8 *ip, __u32 port)
{
	__u64 hash = fault_mix(connector, (__u64)box << 32 | port), word[2];

	if (!box) {
		__builtin_memcpy(word, ip, 16);
		hash = fault_mix(fault_mix(hash, word[0]), word[1]);
	}
	return hash | 1;
}

/*
 * What a SYN says of its connection to a kernel that sees only the other end: an experimental TCP option (RFC 6994), in network
 * order.
 */
#define SYN_OPTION_KIND 254
#define SYN_OPTION_ID 0xb0f1
struct syn_option {
	__u8 kind;
	__u8 size;
	__u16 id;
	__u8 connector[8]; /* fault_connector() */
};

/* Is decision n (from 0) of a random fault with that seed a yes? ppm: of a million. */
static inline __attribute__((always_inline)) int fault_decision(__u64 seed, __u64 n, __u32 ppm)
{
	return (fault_mix(fault_mix(seed, 0x5eed), n) >> 40) * 1000000 >> 24 < ppm;
}

#ifndef __bpf__
/* A process that the agent starts: s1, and its second incarnation s1'2. Never 0. */
static inline __u64 fault_label(const char *name)
{
	__u64 hash = 0xcbf29ce484222325ULL;

	while (*name)
		hash = (hash ^ (unsigned char)*name++) * 0x100000001b3ULL;
	return fault_mix(hash, 0) | 1;
}
#endif

/* What the kernel does when the moment has come. */
enum rule_effect {
	RULE_MARK = 1, /* nothing but to tell (dry runs; what the agent does itself) */
	RULE_CUT,
	RULE_CUT_ONEWAY,
	RULE_DROP,
	RULE_HOLD,
	RULE_RESET,
	RULE_REFUSE,	     /* SYNs of a connect are answered with an RST */
	RULE_REFUSE_SILENT,  /* they vanish */
	RULE_WALL,	     /* no packet between boxes */
	RULE_SIGNAL,	     /* SIGKILL or SIGSTOP to the process whose moment it is */
	RULE_LOSS,	     /* between boxes, at random */
	RULE_CORRUPT,
	RULE_DUPLICATE,
	/* what packets meet because of RULE_SIGNAL, besides the above */
	RULE_FIN,      /* a FIN instead of the message */
	RULE_HOLD_BACK, /* nothing of the message, until all before it was read */
};

/* Whose packets are found by boxes, not by a connection. */
static inline __attribute__((always_inline)) int effect_is_between_boxes(__u32 effect)
{
	return effect == RULE_WALL || (effect >= RULE_LOSS && effect <= RULE_DUPLICATE);
}

/* Whose packets are found from a message on. */
static inline __attribute__((always_inline)) int effect_is_of_message(__u32 effect)
{
	return effect >= RULE_CUT && effect <= RULE_RESET;
}

static inline __attribute__((always_inline)) int effect_is_refusal(__u32 effect)
{
	return effect == RULE_REFUSE || effect == RULE_REFUSE_SILENT;
}

enum rule_moment {
	RULE_AT_ONCE,
	RULE_SEND,
	RULE_RECV,
	RULE_CONNECT,
	RULE_ACCEPT,
	RULE_EXIT,
	RULE_START,
	RULE_DUE, /* no moment: the rules of a connection that wait for a receive, and whose message has been sent */
};

enum rule_state {
	RULE_ARMED = 1,
	RULE_FIRING, /* for a moment */
	RULE_FIRED,  /* in effect until its deadline */
	RULE_WOULD_FIRE,
	RULE_OVER, /* has had its effect, there is nothing left to do */
	RULE_LIFTED,
	/* came to nothing: RULE_FLOW others were in effect on the connection, or RULE_SHARED waited for receives there */
	RULE_CROWDED,
};

/* Which rules are there for a moment of that connection (or process: name is its label, message 0). */
struct rule_key {
	__u64 name;
	__u32 message;
	__u32 moment; /* enum rule_moment << 1 | of a reply */
};

struct rule_list {
	__u32 rules[RULE_SHARED]; /* ids; 0: none */
};

/* A packet of a connection as it arrives in (or, RULE_LEAVES, leaves) a box. */
#define RULE_LEAVES 0x1000000u
struct rule_flow_key {
	__u32 box;
	__u16 source_port; /* host order */
	__u16 target_port;
	__u8 source[16];
	__u8 target[16];
};

enum rule_flow_flag {
	RULE_FLOW_BACK = 1,  /* against the direction of the rule */
	RULE_FLOW_QUIET = 2, /* of a process that was killed silently: only that nobody is told */
	RULE_FLOW_SHIFT = 2,
};

struct rule_flow {
	__u32 rules[RULE_FLOW]; /* id << RULE_FLOW_SHIFT | flags; 0: none */
};

struct rule_pair {
	__u32 from; /* box, RULE_BOX_NONE, RULE_BOX_ALL */
	__u32 to;
};

/* What is never touched. */
#define SPARED_NEIGHBOUR 0x10000u /* as a port: who asks for the address */
struct spared_key {
	__u8 ip[16];
	__u32 port; /* 0: all */
};

struct rule {
	/* tfj's */
	__u32 id;
	__u32 effect; /* enum rule_effect */
	__u32 moment; /* enum rule_moment */
	__u32 message;
	__u32 signal;
	__u32 silent; /* SIGNAL: the peers are not told */
	__u32 dry;
	__u32 times;
	__u32 ppm;
	__u32 rest; /* WALL and others between boxes: with RULE_BOX_ALL */
	__u64 process; /* SIGNAL: label of the process that it is for; at another's moment it does not fire. 0:
			  whoever's */
	__u64 seed;
	__u64 duration_ns; /* HOLD, and how long the message of a stopped process waits */
	__u64 lease_ns;	   /* of the effect; 0: as long as the agent lives */
	/* the programs'; tfj changes state too */
	__u32 state; /* enum rule_state */
	__u32 fired; /* how many times */
	__u64 fired_ns;
	__u64 effect_ns; /* when the effect was in place */
	__u64 deadline;	 /* of the effect; 0: none */
	__u64 cookie;	 /* of the sending end */
	__u64 pos;	 /* of the message's first byte in its stream */
	__u64 asked;	 /* bytes that its send wanted to send */
	__u32 act;	 /* enum rule_effect: what packets meet */
	__u32 phase;	 /* enum rule_phase */
	__u32 seq;	 /* sequence number of the message's first byte */
	__u32 back;	 /* of the first byte of the other direction that may not arrive any more */
	__u32 back_at;	 /* where the other direction was cut, */
	__u32 back_cut;	 /* once it was */
	__u32 top;	 /* behind the last byte that was seen, */
	__u32 back_top;	 /* of either direction */
	__u32 hits;	 /* DROP: packets with the first byte */
	__u32 bound;	 /* RECV: seq is known */
	__u32 messages;	 /* begun at or behind the rule's on its connection */
	__u32 placed;	 /* counted in the gate, so many times */
	__u64 arrived_ns; /* HOLD: when the first byte did */
	__u64 decisions;  /* random ones: drawn */
	__u64 bytes;	  /* that it hit, each once */
	__u64 packets;	  /* as often as they came */
	__u64 collateral_bytes;
	__u64 collateral_packets;
};

enum rule_phase {
	RULE_WAITS = 0, /* bytes before the message may not all be acknowledged (HOLD_BACK: read) */
	RULE_DRAINED,	/* they are */
	RULE_DONE,	/* the RST was sent, or the FIN taken */
	RULE_REPLACED,	/* another connection has the addresses and ports now */
};

/* One of it. What the programs at packets look at first. */
struct rule_gate {
	__u64 until_ns; /* nothing is armed or in effect from then on */
	__u32 flows;	/* rules that have acted on connections; 0: no packet is looked at */
	__u32 walls;	/* rules between boxes that have begun */
	__u32 connects; /* connects to be refused */
	__u32 rest;	/* of `walls`: those with RULE_BOX_ALL */
};

#endif
