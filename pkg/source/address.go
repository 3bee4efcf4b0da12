package source

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// addressRule decides which addresses a source may connect to. It is asked with
// the address that is about to be dialled, after DNS and after every redirect,
// so no name and no later change of a name gets around it.
type addressRule struct {
	// allowLoopback lets sources on this machine be reached.
	allowLoopback bool
	// onlyLoopback is for plain http, which must not leave this machine.
	onlyLoopback bool
}

// metadataAddresses are services of clouds that give out credentials and whose
// addresses are not link-local: AWS over IPv6, Alibaba, Azure's wire server and
// Oracle. The link-local one of the others is refused with its whole range.
func isMetadata(a netip.Addr) bool {
	switch a.String() {
	case "fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254":
		return true
	}
	return false
}

func (r addressRule) check(a netip.Addr) error {
	a = embedded(a)
	var reason string
	switch {
	case a.IsLoopback() && r.allowLoopback:
		return nil
	case a.IsLoopback():
		reason = "loopback"
	case a.IsLinkLocalUnicast():
		reason = "link-local"
	case isMetadata(a):
		reason = "a metadata service"
	case a.IsUnspecified() || a.IsMulticast() || a.IsInterfaceLocalMulticast() || a.Is4() && a.As4()[0] >= 240 || a.Is4() && a.As4()[0] == 0:
		reason = "not a host's"
	case r.onlyLoopback:
		return fmt.Errorf("%w: plain http to %s would be readable on the way", ErrAddress, a)
	default:
		return nil
	}
	return fmt.Errorf("%w: %s is %s", ErrAddress, a, reason)
}

// embedded gives the IPv4 address inside an IPv6 one that leads there: mapped,
// NAT64 (RFC 6052) and 6to4.
func embedded(a netip.Addr) netip.Addr {
	a = a.WithZone("").Unmap()
	if a.Is4() {
		return a
	}
	b := a.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// dialTimeout bounds one attempt to connect.
const dialTimeout = 15 * time.Second

// dial connects to an address under the rule.
func (r addressRule) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		Timeout: dialTimeout,
		Control: func(_, resolved string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(resolved)
			if err != nil {
				return fmt.Errorf("%w: %q is not an address", ErrAddress, resolved)
			}
			return r.check(ap.Addr())
		},
	}
	return d.DialContext(ctx, network, address)
}
