/* SPDX-License-Identifier: GPL-3.0-or-later */
/* guest-exit STATUS: ends qemu, by its isa-debug-exit at port 0x501, with (16 + STATUS) * 2 + 1. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>

int main(int argc, char **argv)
{
	if (argc != 2 || ioperm(0x501, 1, 1)) {
		perror("guest-exit");
		return 1;
	}
	outb((unsigned char)(16 + atoi(argv[1])), 0x501);
	return 1;
}
