/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opens connections to a server, one after the other, and asks a few questions on each. */
#include "../message.h"

int main(int argc, char **argv)
{
	char body[MESSAGE_MAX], question[32];
	struct peer server;

	if (argc != 6) {
		fprintf(stderr, "usage: client NAME BOX PORT CONNECTIONS REQUESTS\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int k = 1; k <= atoi(argv[4]); k++) {
		peer_connect(&server, argv[1], argv[2], argv[3], k);
		for (int i = 1; i <= atoi(argv[5]); i++) {
			snprintf(question, sizeof(question), "%d", 100 * k + i);
			if (peer_send(&server, question) < 0 || peer_receive(&server, body) <= 0)
				die("the server is gone");
			if (atoi(body) != 100 * k + i + 1) {
				fprintf(stderr, "%s + 1 is not %s\n", question, body);
				return 1;
			}
		}
		peer_close(&server);
	}
	return 0;
}
