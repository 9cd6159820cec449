/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The inside of the faults, for faults.c (rules), faults_rule.c (what a rule is), faults_box.c (boxes), faults_device.c (what
 * stands at a device), faults_watch.c (devices that come and go) and faults_open.c (what is loaded). Nobody else includes this.
 */
#ifndef TFJ_FAULTS_INSIDE_H
#define TFJ_FAULTS_INSIDE_H

#include "tfj/faults.h"

/* What the rules are kept in, by the tracer's maps (bpf/fault_maps.bpf.h) and those of the programs at packets. */
#define FAULTS_MAPS(X)                                                                                               \
	X(rule_lists)                                                                                                \
	X(rule_names) X(rule_flows) X(rule_connects) X(rule_pairs) X(rule_boxes) X(rule_devices) X(rule_spared)      \
		X(fault_keys) X(fault_left) X(fault_taken) X(fault_accepts)

enum device_sight {
	DEVICE_NEW,
	DEVICE_SEEN,	/* the programs see its packets */
	DEVICE_BLIND,	/* those have no Ethernet header: the programs could not read them, and are not attached */
	DEVICE_REFUSED, /* it could not be told whose they are, or nothing could be attached: that is tried again */
};

struct faults_device {
	unsigned int index;
	int links[2]; /* TCX: arriving, leaving; -1: a filter */
	bool filters[2];
	enum device_sight sight;
	uint32_t packets; /* not seen: how many it had when they were counted last; they wrap */
};

/* Where a rule counts in the gate. */
enum counted { COUNTED_NOT, COUNTED_FLOWS, COUNTED_WALLS, COUNTED_CONNECTS };

struct faults_armed {
	uint64_t ended_ns; /* lifted */
	enum fault_kind kind; /* NONE: the id is not in use */
	enum counted counted;
};

struct gate_bpf;

struct faults_place {
	uint32_t box;
	int netns; /* a descriptor of ours */
	bool guest;
	struct mnl_socket *news; /* of the kernel, on its devices */
	struct gate_bpf *gate;
	int programs[2]; /* of the gate: for what arrives, for what leaves */
	bool stale; /* some were lost, or could not be followed: all devices are to be looked at */
	struct faults_device *devices;
	size_t n_devices, cap_devices;
};

struct fault_bpf;

struct faults {
	struct tracer *tracer;
	struct fault_bpf *bpf;
	int programs; /* the map that leads from a gate to them */
	struct rule_gate *gate; /* shared with the programs */
	struct rule *rules;	/* the same, by id */
#define X(name) int name;
	FAULTS_MAPS(X)
#undef X
	struct faults_armed *armed; /* by id */
	uint32_t top;		    /* ids in use are below */
	struct faults_place *places;
	size_t n_places;
	int watch;	 /* an epoll of all news */
	uint64_t missed; /* see faults_missed() */
	struct error why;
};

/* Can the kernel do that at such a moment, and is the id free? As faults_arm(). */
int faults_rule_check(struct faults *faults, const struct kernel_fault *fault, struct error *e);
/* It is not armed yet. */
void faults_rule_fill(struct rule *rule, const struct kernel_fault *fault);
void faults_rule_key(const struct kernel_fault *fault, struct rule_key *ret_key);

/* All fault maps are emptied. */
void faults_maps_clear(struct faults *faults);

/*
 * One device, or one that has gone: the caller is in the namespace of its box. One that is known is told anew, which box its
 * address is of. On failure nothing is attached, and the device is in the list as one that was refused, unless there is no
 * memory for it; one that has gone meanwhile is no failure.
 */
int faults_device_add(struct faults *faults, struct faults_place *place, unsigned int index, const char *name, struct error *e);
void faults_device_remove(struct faults_place *place, unsigned int index);
/* What stands there goes; the device stays in the list. */
void faults_device_detach(struct faults_device *device);
struct faults_device *faults_device_find(struct faults_place *place, unsigned int index);

/* Packets that have gone through the device so far. false: that cannot be told. The caller is in its namespace. */
bool faults_packets_through(const char *name, uint32_t *ret_packets);

/* From now on its news are kept for faults_watch(). The caller is in its namespace. */
int faults_news_open(struct faults *faults, struct faults_place *place, struct error *e);
void faults_news_close(struct faults_place *place);

/* What is attached in that box goes. */
void faults_place_close(struct faults_place *place);

#endif
