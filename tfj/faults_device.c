/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What stands at one device of a box, where packets arrive and leave. In a namespace that is ours alone a clsact
 * filter serves, which is quick to attach and goes with the namespace. In a guest's it is a TCX link, in front of all
 * others, which goes with this process; kernels without TCX (before 6.6) get a filter there, too. A clsact qdisc that
 * others have made stays, and one of ours goes only if nobody has put a filter there: its handle tells.
 */
#include <errno.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "lib/grow.h"
#include "tfj/faults_inside.h"
#include "tfj/rtnl.h"
#include "tfj/tracer_kernel.h"

/* Handles of our filters: the qdisc was there, or is ours. */
enum { HANDLE_THEIRS = 0xb0f0, HANDLE_OURS = 0xb0f1, PRIORITY = 1 };

/* linux/bpf.h since 6.6: e420bed02507 */
enum { TCX_INGRESS = 46, TCX_BEFORE = 1 << 3 };

static const enum bpf_tc_attach_point points[2] = { BPF_TC_INGRESS, BPF_TC_EGRESS };

static int tcx_attach(int program, unsigned int device, int leaving)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)program;
	attr.link_create.target_ifindex = device;
	attr.link_create.attach_type = (uint32_t)(TCX_INGRESS + leaving);
	attr.link_create.flags = TCX_BEFORE; /* all others */
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

/* Takes a filter of ours away. *ret_ours: the qdisc was, too. */
static void filter_detach(unsigned int device, int leaving, bool *ret_ours)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)device, .attach_point = points[leaving]);

	for (uint32_t handle = HANDLE_THEIRS; handle <= HANDLE_OURS; handle++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle, .priority = PRIORITY);

		if (!bpf_tc_detach(&hook, &opts) && handle == HANDLE_OURS)
			*ret_ours = true;
	}
}

static int filter_attach(int program, unsigned int device, int leaving, bool ours)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)device, .attach_point = points[leaving]);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program, .handle = ours ? HANDLE_OURS : HANDLE_THEIRS,
		    .priority = PRIORITY);

	return bpf_tc_attach(&hook, &opts);
}

/* Makes the qdisc where there is none. Returns whether it is ours, or negative errno. */
static int qdisc_make(unsigned int device)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)device, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	int err = bpf_tc_hook_create(&hook);

	return err == -EEXIST ? 0 : err ? err : 1;
}

/* A qdisc of ours goes, unless somebody has put a filter there since. */
static void qdisc_remove(unsigned int device)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)device, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	struct rtnl *rtnl;

	if (rtnl_open(&rtnl))
		return;
	if (!rtnl_filters(rtnl, (int)device))
		bpf_tc_hook_destroy(&hook);
	rtnl_close(rtnl);
}

static void links_close(struct faults_device *device)
{
	for (int i = 0; i < 2; i++) {
		if (device->links[i] >= 0)
			close(device->links[i]);
		device->links[i] = -1;
	}
}

static bool is_attached(const struct faults_device *device)
{
	return (device->links[0] >= 0 && device->links[1] >= 0) || (device->filters[0] && device->filters[1]);
}

/* Both ways, or nothing of ours is left there. */
static int device_attach(struct faults_place *place, struct faults_device *device)
{
	bool ignored;
	int ours, err = 0;

	for (int i = 0; place->guest && i < 2; i++)
		device->links[i] = tcx_attach(place->programs[i], device->index, i);
	if (is_attached(device))
		return 0;
	links_close(device);
	ours = qdisc_make(device->index);
	if (ours < 0)
		return ours;
	for (int i = 0; i < 2 && !err; i++) {
		err = filter_attach(place->programs[i], device->index, i, ours > 0);
		device->filters[i] = !err;
	}
	if (!err)
		return 0;
	if (device->filters[0])
		filter_detach(device->index, 0, &ignored);
	device->filters[0] = false;
	if (ours > 0)
		qdisc_remove(device->index);
	return err;
}

void faults_device_detach(struct faults_device *device)
{
	bool ours = false;

	links_close(device);
	for (int i = 0; i < 2; i++) {
		if (device->filters[i])
			filter_detach(device->index, i, &ours);
		device->filters[i] = false;
	}
	if (ours)
		qdisc_remove(device->index);
}

/* Which box packets from that device come from. Returns what kind of device it is (ARPHRD_*), or negative errno. */
static int device_tell(struct faults *faults, uint32_t box, const char *name)
{
	int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), kind = -EBADF;
	struct ifreq request = { .ifr_name = "" };
	uint64_t address = 0;

	if (socket_fd < 0)
		return -errno;
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	kind = ioctl(socket_fd, SIOCGIFHWADDR, &request) ? -errno : request.ifr_hwaddr.sa_family;
	if (kind == ARPHRD_ETHER)
		memcpy(&address, request.ifr_hwaddr.sa_data, 6);
	if (address && bpf_map_update_elem(faults->rule_devices, &address, &box, BPF_ANY))
		kind = -errno;
	close(socket_fd);
	return kind;
}

struct faults_device *faults_device_find(struct faults_place *place, unsigned int index)
{
	for (size_t i = 0; i < place->n_devices; i++)
		if (place->devices[i].index == index)
			return &place->devices[i];
	return NULL;
}

static struct faults_device *device_new(struct faults_place *place, unsigned int index)
{
	struct faults_device *device;

	if (grow(&place->devices, &place->cap_devices, place->n_devices + 1, sizeof(*device)))
		return NULL;
	device = &place->devices[place->n_devices++];
	*device = (struct faults_device){ .index = index, .links = { -1, -1 } };
	return device;
}

/* -ENODEV: it has gone, or has another name by now, of which news will come. */
static int device_open(struct faults *faults, struct faults_place *place, struct faults_device *device, const char *name,
		       struct error *e)
{
	int kind = device_tell(faults, place->box, name), err = 0;

	if (kind < 0)
		return error_set(e, kind, "box %u: it cannot be told whose the packets of its device %s are: %s", place->box, name,
				 strerror(-kind));
	if (kind != ARPHRD_ETHER && kind != ARPHRD_LOOPBACK) {
		device->sight = DEVICE_BLIND;
		return 0;
	}
	if (!is_attached(device))
		err = device_attach(place, device);
	if (err)
		return error_set(e, err, "box %u: no program can be attached to its device %s: %s%s", place->box, name,
				 strerror(-err),
				 err == -ENOENT || err == -EINVAL
					 ? "; the kernel needs CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF"
					 : "");
	device->sight = DEVICE_SEEN;
	return 0;
}

int faults_device_add(struct faults *faults, struct faults_place *place, unsigned int index, const char *name, struct error *e)
{
	struct faults_device *device = faults_device_find(place, index);
	int err;

	device = device ? device : device_new(place, index);
	if (!device)
		return error_set(e, -ENOMEM, "box %u: no memory for its device %s", place->box, name);
	err = device_open(faults, place, device, name, e);
	if (err == -ENODEV) {
		if (device->sight == DEVICE_NEW)
			place->n_devices--;
		return 0;
	}
	if (err)
		device->sight = DEVICE_REFUSED;
	return err;
}

void faults_device_remove(struct faults_place *place, unsigned int index)
{
	struct faults_device *device = faults_device_find(place, index);

	if (!device)
		return;
	faults_device_detach(device);
	*device = place->devices[--place->n_devices];
}

/*
 * It hands packets on to programs in a table, which the kernel empties when the last process that has it open is gone: a filter
 * with an empty one does nothing, and is nobody's.
 */
static bool owner_lives(int program)
{
	uint32_t ids[16], zero = 0, id, size = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = { .nr_map_ids = sizeof(ids) / sizeof(ids[0]), .map_ids = (uintptr_t)ids };
	bool lives = false;

	if (bpf_obj_get_info_by_fd(program, &info, &size))
		return true;
	for (uint32_t i = 0; i < info.nr_map_ids && i < sizeof(ids) / sizeof(ids[0]); i++) {
		int map = bpf_map_get_fd_by_id(ids[i]);
		struct bpf_map_info table = { 0 };

		size = sizeof(table);
		if (map >= 0 && !bpf_obj_get_info_by_fd(map, &table, &size) && table.type == BPF_MAP_TYPE_PROG_ARRAY)
			lives = !bpf_map_lookup_elem(map, &zero, &id);
		if (map >= 0)
			close(map);
	}
	return lives;
}

/* Is the filter there one of ours, and nobody's any more? */
static bool filter_is_left(unsigned int device, int leaving, uint32_t handle)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)device, .attach_point = points[leaving]);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle, .priority = PRIORITY);
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);
	bool ours;
	int fd;

	if (bpf_tc_query(&hook, &opts))
		return false;
	fd = bpf_prog_get_fd_by_id(opts.prog_id);
	ours = fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size) && !strncmp(info.name, "bop_fault_", 10) && !owner_lives(fd);
	if (fd >= 0)
		close(fd);
	return ours;
}

int faults_clean(void)
{
	struct if_nameindex *names = if_nameindex();
	int found = 0;

	if (!names)
		return -errno;
	tracer_quiet();
	for (size_t i = 0; names[i].if_index; i++) {
		bool ours = false;

		for (int leaving = 0; leaving < 2; leaving++)
			for (uint32_t handle = HANDLE_THEIRS; handle <= HANDLE_OURS; handle++)
				if (filter_is_left(names[i].if_index, leaving, handle)) {
					filter_detach(names[i].if_index, leaving, &ours);
					found++;
				}
		if (ours)
			qdisc_remove(names[i].if_index);
	}
	if_freenameindex(names);
	return found;
}
