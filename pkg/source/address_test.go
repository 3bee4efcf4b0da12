package source

import (
	"errors"
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		reason, address string
		rule            addressRule
		ok              bool
	}{
		{"a public host", "93.184.215.14", addressRule{}, true},
		{"a host of the own network, as Git servers in the cluster are", "10.1.2.3", addressRule{}, true},
		{"IPv6", "2606:2800:21f::1", addressRule{}, true},
		{"a private IPv6 network", "fd12:3456::1", addressRule{}, true},
		{"the metadata service of most clouds", "169.254.169.254", addressRule{}, false},
		{"even where loopback is allowed", "169.254.169.254", addressRule{allowLoopback: true}, false},
		{"mapped into IPv6", "::ffff:169.254.169.254", addressRule{}, false},
		{"behind NAT64", "64:ff9b::a9fe:a9fe", addressRule{}, false},
		{"behind 6to4", "2002:a9fe:a9fe::1", addressRule{}, false},
		{"link-local IPv6", "fe80::1", addressRule{}, false},
		{"link-local IPv6 with a zone", "fe80::1%eth0", addressRule{}, false},
		{"AWS over IPv6", "fd00:ec2::254", addressRule{}, false},
		{"Alibaba", "100.100.100.200", addressRule{}, false},
		{"Azure", "168.63.129.16", addressRule{}, false},
		{"this host by another name", "0.0.0.0", addressRule{}, false},
		{"and in IPv6", "::", addressRule{allowLoopback: true}, false},
		{"broadcast", "255.255.255.255", addressRule{}, false},
		{"multicast", "224.0.0.1", addressRule{}, false},
		{"loopback", "127.0.0.1", addressRule{}, false},
		{"all of loopback", "127.8.9.10", addressRule{}, false},
		{"loopback mapped", "::ffff:127.0.0.1", addressRule{}, false},
		{"loopback IPv6", "::1", addressRule{}, false},
		{"loopback where allowed", "::1", addressRule{allowLoopback: true}, true},
		{"plain http on this machine", "127.0.0.1", addressRule{allowLoopback: true, onlyLoopback: true}, true},
		{"plain http elsewhere", "10.1.2.3", addressRule{allowLoopback: true, onlyLoopback: true}, false},
	} {
		err := tc.rule.check(netip.MustParseAddr(tc.address))
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %s: %v, want ok=%v", tc.reason, tc.address, err, tc.ok)
		}
	}
}
