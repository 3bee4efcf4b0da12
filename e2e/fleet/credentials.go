package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// User is someone who may call the API servers of a fleet. RBAC decides what
// the user may do; the group system:masters may do everything.
type User struct {
	Name   string
	Groups []string
}

// mastersGroup is bound to cluster-admin in every cluster.
const mastersGroup = "system:masters"

// The users that every cluster has. The parts of the control plane have names
// of their own so that the audit policy can tell them from a test's clients.
const (
	adminUser      = "admin"
	harnessUser    = "system:fleet" // this package: probes and fake nodes
	controllerUser = "system:kube-controller-manager"
	schedulerUser  = "system:kube-scheduler"
	kwokUser       = "system:kwok"
)

func builtinUsers() []User {
	masters := []string{mastersGroup}
	return []User{
		{Name: adminUser, Groups: masters},
		{Name: harnessUser, Groups: masters},
		{Name: controllerUser, Groups: masters},
		{Name: schedulerUser, Groups: masters},
		{Name: kwokUser, Groups: masters},
	}
}

// credentials are what one cluster's API server proves itself with and knows
// its users by.
type credentials struct {
	caPEM  []byte
	tokens map[string]string // by user name
}

// certificateLife is far longer than any fleet lives.
const certificateLife = 365 * 24 * time.Hour

// writeCredentials makes new ones and writes the files that the API server
// reads: serving.crt, serving.key, service-account.key, tokens.csv.
func writeCredentials(dir string, users []User) (*credentials, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "armada-sync e2e fleet"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(certificateLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	servingKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serving := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "kube-apiserver"},
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost", "kubernetes.default.svc"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	servingDER, err := x509.CreateCertificate(rand.Reader, serving, ca, servingKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	accountKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &credentials{caPEM: certificatePEM(caDER), tokens: make(map[string]string)}
	files := map[string][]byte{
		"serving.crt": certificatePEM(servingDER),
		"tokens.csv":  c.tokenFile(users),
	}
	for name, key := range map[string]*ecdsa.PrivateKey{"serving.key": servingKey, "service-account.key": accountKey} {
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			return nil, err
		}
		files[name] = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// tokenFile gives each user a token and returns them in the form of
// kube-apiserver's --token-auth-file: token,user,uid,"group1,group2".
func (c *credentials) tokenFile(users []User) []byte {
	var b strings.Builder
	for _, u := range users {
		raw := make([]byte, 16)
		rand.Read(raw) // never fails (crypto/rand)
		c.tokens[u.Name] = hex.EncodeToString(raw)
		fmt.Fprintf(&b, "%s,%s,%s,%q\n", c.tokens[u.Name], u.Name, u.Name, strings.Join(u.Groups, ","))
	}
	return []byte(b.String())
}

// writeKubeconfig writes a kubeconfig file that needs no other file.
func (c *credentials) writeKubeconfig(path, cluster, server, user string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[cluster] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: c.caPEM}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{Token: c.tokens[user]}
	config.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: user}
	config.CurrentContext = cluster
	return clientcmd.WriteToFile(*config, path)
}
