/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes values to the primary, each after the one before it was acknowledged. */
#include "../message.h"

int main(int argc, char **argv)
{
	char value[32], answer[MESSAGE_MAX];
	struct peer primary;

	if (argc != 5) {
		fprintf(stderr, "usage: writer NAME PRIMARY PORT VALUES\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	peer_connect(&primary, argv[1], argv[2], argv[3], 1);
	for (int i = 1; i <= atoi(argv[4]); i++) {
		snprintf(value, sizeof(value), "value-%d", i);
		if (peer_send(&primary, value) < 0 || peer_receive(&primary, answer) <= 0)
			die("the primary is gone");
		if (strcmp(answer, "stored"))
			return 1;
	}
	peer_close(&primary);
	return 0;
}
