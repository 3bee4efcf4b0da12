package gitrepo

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// NewKey makes a key and its private half in PEM.
func NewKey(tb testing.TB) (key ssh.Signer, private []byte) {
	tb.Helper()
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if key, err = ssh.NewSignerFromKey(secret); err != nil {
		tb.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(secret, "")
	if err != nil {
		tb.Fatal(err)
	}
	return key, pem.EncodeToMemory(block)
}

// ServeSSH runs git-upload-pack for whoever holds the key, until the test ends. It returns the address ("host:port")
// and the key of the host.
func ServeSSH(tb testing.TB, allowed ssh.PublicKey) (address string, host ssh.PublicKey) {
	tb.Helper()
	signer, _ := NewKey(tb)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(allowed.Marshal()) {
			return nil, os.ErrPermission
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(signer)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var connections sync.WaitGroup
	tb.Cleanup(func() { _ = listener.Close(); connections.Wait() })
	connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { defer conn.Close(); serveConnection(conn, config) })
		}
	})
	return listener.Addr().String(), signer.PublicKey()
}

func serveConnection(conn net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return // A client that does not know the host key goes away.
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			var payload struct{ Command string }
			if r.Type != "exec" || ssh.Unmarshal(r.Payload, &payload) != nil || !strings.HasPrefix(payload.Command, "git-upload-pack '") {
				_ = r.Reply(false, nil)
				continue
			}
			_ = r.Reply(true, nil)
			status := uint32(0)
			if uploadPack(payload.Command, channel) != nil {
				status = 128
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			_ = channel.Close()
		}
	}
}

// uploadPack does not wait for the client to close its side: git ends when it has said everything.
func uploadPack(command string, channel ssh.Channel) error {
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = environment()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(stdin, channel); _ = stdin.Close() }()
	return cmd.Wait()
}

// KnownHosts is the line of a known_hosts file that trusts the key at the address.
func KnownHosts(address string, key ssh.PublicKey) string {
	return knownhosts.Line([]string{knownhosts.Normalize(address)}, key) + "\n"
}
