#!/usr/bin/perl
# SPDX-License-Identifier: GPL-3.0-or-later
# Two programs that count for themselves what they send and receive, for what was recorded of them to be compared with; Perl, because
# every Debian has it.
#   count.pl serve PORT           answers each message with another of its own length, until the client sends no more
#   count.pl ask PORT SERVER...   three connections to each server, one after the other, with messages of all sizes
# A line for each connection, at its end: the client's address and port, and calls and bytes sent and received.
use strict;
use warnings;
use Socket;

my @SIZES = (1, 7, 100, 1460, 4096, 30000, 100000);

sub put {
	my ($socket, $size, $count) = @_;
	my $data = 'x' x $size;
	while (length $data) {
		my $n = syswrite($socket, $data) // die "send: $!\n";
		$count->{sends}++;
		$count->{sent} += $n;
		$data = substr($data, $n);
	}
}

# Returns how much came: less than asked for at the end of the stream.
sub take {
	my ($socket, $size, $count) = @_;
	my $got = 0;
	while ($got < $size) {
		my $n = sysread($socket, my $data, $size - $got) // die "receive: $!\n";
		last unless $n;
		$count->{received} += $n;
		$got += $n;
	}
	return $got;
}

sub say_count {
	my ($name, $address, $count) = @_;
	my ($port, $ip) = sockaddr_in($address);
	syswrite(STDOUT, sprintf("%s %s:%d sends %d sent %d received %d\n", $name, inet_ntoa($ip), $port, @$count{qw(sends sent received)}));
}

sub serve {
	my ($port) = @_;
	socket(my $listener, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
	setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
	bind($listener, sockaddr_in($port, INADDR_ANY)) && listen($listener, 16) or die "listen: $!\n";
	while (my $peer = accept(my $client, $listener)) {
		my %count = (sends => 0, sent => 0, received => 0);
		for (my $k = 0;; $k++) {
			my $size = $SIZES[$k % @SIZES];
			last if take($client, $size, \%count) < $size;
			put($client, $size * 2 + 1, \%count);
		}
		say_count('server', $peer, \%count); # before the client can know that it is over
		close $client;
	}
}

sub ask {
	my ($port, @servers) = @_;
	for my $server (@servers, @servers, @servers) {
		my %count = (sends => 0, sent => 0, received => 0);
		socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
		connect($socket, sockaddr_in($port, inet_aton($server) // die "$server: no such machine\n")) or die "connect: $!\n";
		for my $size (@SIZES) {
			put($socket, $size, \%count);
			take($socket, $size * 2 + 1, \%count) == $size * 2 + 1 or die "$server ended too early\n";
		}
		shutdown($socket, 1);
		take($socket, 1, \%count) and die "$server sent too much\n";
		say_count('client', getsockname($socket), \%count);
		close $socket;
	}
}

my ($what, @rest) = @ARGV;
if (($what // '') eq 'serve' && @rest == 1) { serve(@rest) }
elsif (($what // '') eq 'ask' && @rest > 1) { ask(@rest) }
else { die "usage: count.pl serve PORT | ask PORT SERVER...\n" }
