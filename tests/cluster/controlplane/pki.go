package main

// Keys, certificates and kubeconfigs of one cluster. Each part of the control plane and the node
// is a user of its own, as RBAC and the node authorizer expect; nothing but `admin` is mighty.
// Written once: a second run finds the CA and leaves everything as it is, so that tokens and
// kubeconfigs stay good when the control plane is started again.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	securePort = 6443
	// A year: longer than any test cluster lives, and clocks of test machines jump.
	validity = 365 * 24 * time.Hour
)

// A user of the API server, known by its certificate.
type user struct{ file, name, group string }

func users(node string) []user {
	return []user{
		{"admin", "admin", "system:masters"},
		{"controller-manager", "system:kube-controller-manager", ""},
		{"scheduler", "system:kube-scheduler", ""},
		{"kubelet", "system:node:" + node, "system:nodes"},
		{"kube-proxy", "system:kube-proxy", ""},
	}
}

func pki(args []string) error {
	flags := flag.NewFlagSet("pki", flag.ContinueOnError)
	address := flags.String("address", "", "address the API server is reached at")
	service := flags.String("service-address", "10.96.0.1", "ClusterIP of the API server")
	node := flags.String("node", "node-1", "name of the node")
	dir, err := parseWithDir(flags, args)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.crt")); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	authority, err := newAuthority(dir)
	if err != nil {
		return err
	}
	if err := authority.issueServer(*address, *service); err != nil {
		return err
	}
	// The API server's own certificate towards kubelets, for logs and exec.
	if err := authority.issueClient(user{"kubelet-client", "kube-apiserver", "system:masters"}); err != nil {
		return err
	}
	for _, user := range users(*node) {
		if err := authority.issueClient(user); err != nil {
			return err
		}
		if err := authority.writeKubeconfig(user, *address); err != nil {
			return err
		}
	}
	if _, err := newKey(filepath.Join(dir, "service-account.key")); err != nil {
		return err
	}
	return authority.writeCertificate("ca", authority.der)
}

// parseWithDir takes the directory in front of the flags: `pki DIR --flag value`.
func parseWithDir(flags *flag.FlagSet, args []string) (string, error) {
	if len(args) == 0 {
		return "", fmt.Errorf("which directory?")
	}
	return args[0], flags.Parse(args[1:])
}

type authority struct {
	dir         string
	der         []byte
	certificate *x509.Certificate
	key         crypto.Signer
	serial      int64
}

func newAuthority(dir string) (*authority, error) {
	key, err := newKey(filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	made := &authority{dir: dir, key: key}
	template := made.template("sluice-test", "")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	made.der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	made.certificate, err = x509.ParseCertificate(made.der)
	return made, err
}

func (a *authority) template(name, group string) *x509.Certificate {
	a.serial++
	subject := pkix.Name{CommonName: name}
	if group != "" {
		subject.Organization = []string{group}
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(a.serial),
		Subject:      subject,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func (a *authority) issueServer(address, service string) error {
	template := a.template("kube-apiserver", "")
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	for _, text := range []string{"127.0.0.1", address, service} {
		ip := net.ParseIP(text)
		if ip == nil {
			return fmt.Errorf("not an address: %q", text)
		}
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	return a.issue("apiserver", template)
}

func (a *authority) issueClient(of user) error {
	template := a.template(of.name, of.group)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(of.file, template)
}

func (a *authority) issue(file string, template *x509.Certificate) error {
	key, err := newKey(filepath.Join(a.dir, file+".key"))
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return err
	}
	return a.writeCertificate(file, der)
}

func (a *authority) writeCertificate(file string, der []byte) error {
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return os.WriteFile(filepath.Join(a.dir, file+".crt"), block, 0o600)
}

// writeKubeconfig embeds all it needs, so that the file can be handed to any tool.
func (a *authority) writeKubeconfig(of user, address string) error {
	certificate, err := os.ReadFile(filepath.Join(a.dir, of.file+".crt"))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(a.dir, of.file+".key"))
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{
		Server:                   fmt.Sprintf("https://%s:%d", address, securePort),
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.der}),
	}
	config.AuthInfos[of.file] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: of.file}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, filepath.Join(a.dir, of.file+".kubeconfig"))
}

func newKey(file string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return key, os.WriteFile(file, block, 0o600)
}
