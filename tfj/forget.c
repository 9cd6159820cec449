/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See forget.h. sock_diag(7): a list of sockets, and then one request for each. */
#include "tfj/forget.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tfj/netns.h"

enum { ANSWER_SIZE = 65536 };

struct found {
	struct inet_diag_req_v2 *sockets;
	size_t n, cap;
	int err;
};

static int on_socket(const struct nlmsghdr *header, void *arg)
{
	const struct inet_diag_msg *message = mnl_nlmsg_get_payload(header);
	struct found *found = arg;
	struct inet_diag_req_v2 *grown;

	if (header->nlmsg_len < mnl_nlmsg_size(sizeof(*message)))
		return MNL_CB_OK;
	if (found->n == found->cap) {
		grown = realloc(found->sockets, (found->cap * 2 + 64) * sizeof(*grown));
		if (!grown) {
			found->err = -ENOMEM;
			return MNL_CB_OK;
		}
		found->sockets = grown;
		found->cap = found->cap * 2 + 64;
	}
	found->sockets[found->n++] = (struct inet_diag_req_v2){
		.sdiag_family = message->idiag_family,
		.sdiag_protocol = IPPROTO_TCP,
		.id = message->id,
	};
	return MNL_CB_OK;
}

/* One request, and all its answers. */
static int ask(struct mnl_socket *socket, int type, int flags, const struct inet_diag_req_v2 *what, struct found *found)
{
	const unsigned seq = 1; /* one question at a time */
	char *buffer = malloc(ANSWER_SIZE);
	struct nlmsghdr *header;
	ssize_t size;
	int result, err = 0;

	if (!buffer)
		return -ENOMEM;
	header = mnl_nlmsg_put_header(buffer);
	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST | flags;
	header->nlmsg_seq = seq;
	*(struct inet_diag_req_v2 *)mnl_nlmsg_put_extra_header(header, sizeof(*what)) = *what;
	if (mnl_socket_sendto(socket, header, header->nlmsg_len) < 0)
		err = -errno;
	for (result = MNL_CB_OK; !err && result == MNL_CB_OK;) {
		size = mnl_socket_recvfrom(socket, buffer, ANSWER_SIZE);
		if (size < 0 && errno == EINTR)
			continue;
		result = size < 0 ? -1 : mnl_cb_run(buffer, size, seq, mnl_socket_get_portid(socket), on_socket, found);
		if (result < 0)
			err = -errno;
	}
	free(buffer);
	return err;
}

static int forget(struct mnl_socket *socket)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	struct found found = { 0 };
	int err = 0, first = 0;

	for (size_t i = 0; i < sizeof(families) && !err; i++) {
		const struct inet_diag_req_v2 all = {
			.sdiag_family = families[i],
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~(1u << TCP_LISTEN),
		};

		err = ask(socket, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &all, &found);
		if (err == -ENOENT && families[i] == AF_INET6) /* no IPv6 */
			err = 0;
	}
	for (size_t i = 0; i < found.n && !err; i++) {
		int result = ask(socket, SOCK_DESTROY, NLM_F_ACK, &found.sockets[i], &found);

		if (result && result != -ENOENT && !first) /* it may have gone by itself */
			first = result;
	}
	free(found.sockets);
	return err ? err : found.err ? found.err : first;
}

int connections_forget(int netns)
{
	int home = netns_enter(netns), err = 0, back;
	struct mnl_socket *socket;

	if (home < 0)
		return home;
	socket = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	back = netns_leave(home);
	err = err ? err : back;
	if (!err)
		err = forget(socket);
	if (socket)
		mnl_socket_close(socket);
	return err;
}
