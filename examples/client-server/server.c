/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A server of the old school: forks a child for each connection, which answers every number with
 * the next one. */
#include <poll.h>
#include <sys/wait.h>

#include "../message.h"

static void serve(struct peer *peer)
{
	char body[MESSAGE_MAX], answer[32];

	while (peer_receive(peer, body) > 0) {
		snprintf(answer, sizeof(answer), "%ld", strtol(body, NULL, 10) + 1);
		if (peer_send(peer, answer) < 0)
			break;
	}
	peer_close(peer);
}

int main(int argc, char **argv)
{
	struct pollfd listener = { .events = POLLIN };
	sigset_t waiting;
	pid_t child;

	if (argc != 2) {
		fprintf(stderr, "usage: server PORT\n");
		return 2;
	}
	stop_prepare(&waiting);
	listener.fd = port_listen(AF_INET6, argv[1]);
	while (!stopped) {
		struct peer peer;

		if (ppoll(&listener, 1, NULL, &waiting) > 0) {
			peer_accept(&peer, listener.fd);
			child = peer.fd < 0 ? 1 : fork();
			if (!child) {
				close(listener.fd);
				sigprocmask(SIG_SETMASK, &waiting, NULL);
				signal(SIGTERM, SIG_DFL);
				serve(&peer);
				return 0;
			}
			peer_close(&peer);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	return 0;
}
