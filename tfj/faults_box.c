/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Where packets are looked at: in the boxes that have been told, at all their devices (faults_device.c), by programs that know
 * in which box they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/gate.skel.h"
#include "tfj/faults_inside.h"
#include "tfj/netns.h"
#include "tfj/tracer.h"
#include "tfj/tracer_kernel.h"

void faults_place_close(struct faults_place *place)
{
	int home = netns_enter(place->netns);

	faults_news_close(place);
	tracer_quiet();
	for (size_t i = 0; i < place->n_devices; i++)
		if (home >= 0 || place->devices[i].links[0] >= 0)
			faults_device_detach(&place->devices[i]);
	if (home >= 0)
		netns_leave(home);
	close(place->netns);
	free(place->devices);
	gate_bpf__destroy(place->gate);
	*place = (struct faults_place){ .netns = -1 };
}

/* The caller is in its namespace. */
static int devices_attach(struct faults *faults, struct faults_place *place, struct error *e)
{
	int err = faults_news_open(faults, place, e); /* before the list: what comes meanwhile is in one of them */
	struct if_nameindex *names = if_nameindex();

	if (!names && !err)
		err = error_set(e, -errno, "box %u: its devices cannot be listed: %s", place->box, strerror(errno));
	for (size_t i = 0; names && names[i].if_index && !err; i++) {
		struct faults_device *device;

		err = faults_device_add(faults, place, names[i].if_index, names[i].if_name, e);
		device = faults_device_find(place, names[i].if_index);
		if (device && device->sight == DEVICE_BLIND) /* what passed before there were faults does not count */
			faults_packets_through(names[i].if_name, &device->packets);
	}
	if (names)
		if_freenameindex(names);
	return err;
}

static int gate_load(struct faults *faults, struct faults_place *place, struct error *e)
{
	int err;

	tracer_quiet();
	place->gate = gate_bpf__open();
	if (!place->gate)
		return error_set(e, -errno, "faults: out of memory");
	place->gate->rodata->gate_box = place->box;
	err = bpf_map__reuse_fd(place->gate->maps.fault_programs, faults->programs);
	err = err ? err : tracer_maps_share(faults->tracer, place->gate->obj);
	err = err ? err : gate_bpf__load(place->gate);
	place->programs[0] = bpf_program__fd(place->gate->progs.bop_fault_in);
	place->programs[1] = bpf_program__fd(place->gate->progs.bop_fault_out);
	return err ? error_set(e, err, "box %u: this kernel refused the programs for faults: %s", place->box,
			       tracer_complaint()[0] ? tracer_complaint() : strerror(-err)) :
		     0;
}

int faults_box(struct faults *faults, int netns, uint32_t box, bool guest, struct error *e)
{
	struct faults_place *places = realloc(faults->places, (faults->n_places + 1) * sizeof(*places)), *place;
	uint32_t one = 1;
	int home, err;

	if (!places)
		return error_set(e, -ENOMEM, "faults: out of memory");
	faults->places = places;
	place = &places[faults->n_places];
	*place = (struct faults_place){ .box = box, .guest = guest, .netns = fcntl(netns, F_DUPFD_CLOEXEC, 3) };
	if (place->netns < 0)
		return error_set(e, -errno, "box %u: its network namespace cannot be held: %s", box, strerror(errno));
	err = gate_load(faults, place, e);
	if (err)
		goto out;
	home = netns_enter(place->netns);
	if (home < 0) {
		err = error_set(e, home, "box %u: its network namespace cannot be entered: %s", box, strerror(-home));
		goto out;
	}
	err = devices_attach(faults, place, e);
	home = netns_leave(home);
	if (home && !err)
		err = error_set(e, home, "cannot leave the network namespace of box %u: %s", box, strerror(-home));
	if (!err && bpf_map_update_elem(faults->rule_boxes, &box, &one, BPF_ANY))
		err = error_set(e, -errno, "box %u cannot be told to the kernel: %s", box, strerror(errno));
out:
	if (err)
		faults_place_close(place);
	else
		faults->n_places++;
	return err;
}

int faults_spare(struct faults *faults, const uint8_t ip[16], uint16_t port, struct error *e)
{
	struct spared_key key = { .port = port };
	uint32_t one = 1;

	memcpy(key.ip, ip, sizeof(key.ip));
	for (int i = 0; i < 2; i++, key.port = SPARED_NEIGHBOUR)
		if (bpf_map_update_elem(faults->rule_spared, &key, &one, BPF_ANY))
			return error_set(e, -errno, "the agent's own link cannot be spared: %s", strerror(errno));
	return 0;
}

void faults_maps_clear(struct faults *faults)
{
#define X(name) map_clear(faults->name);
	FAULTS_MAPS(X)
#undef X
}
