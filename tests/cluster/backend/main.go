// Command backend is the server behind Sluice in the cluster's stories. It answers every request
// with what it saw, as JSON, so that a story can tell which pod answered and what arrived there.
//
//	/ready        200, and 503 from SIGTERM on: the readiness probe
//	/slow?ms=N    answers after N milliseconds (at most a minute)
//	/status/N     answers with status N
//	/socket       becomes a WebSocket that gives back every byte, until the other side ends it
//	anything else answers at once
//
// Environment: PORT (8080), VERSION (empty), POD (host name), DRAIN (how long it goes on serving
// after SIGTERM, 3s: endpoint changes reach every proxy in far less).
//
// Named `pause` it does nothing but wait for its end: the container that holds a pod's namespaces.
package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

type backend struct {
	pod, version string
	draining     atomic.Bool
}

// What the server saw.
type answer struct {
	Pod     string            `json:"pod"`
	Version string            `json:"version"`
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Query   string            `json:"query"`
	Host    string            `json:"host"`
	Peer    string            `json:"peer"`
	Headers map[string]string `json:"headers"`
	Body    int64             `json:"bodyBytes"`
}

func main() {
	ending := make(chan os.Signal, 1)
	signal.Notify(ending, syscall.SIGTERM, os.Interrupt)
	if filepath.Base(os.Args[0]) == "pause" {
		<-ending
		return
	}
	drain, err := time.ParseDuration(setting("DRAIN", "3s"))
	if err != nil {
		log.Fatalf("DRAIN: %v", err)
	}
	host, _ := os.Hostname()
	backend := &backend{pod: setting("POD", host), version: setting("VERSION", "")}
	server := &http.Server{Addr: ":" + setting("PORT", "8080"), Handler: backend, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		log.Fatal(err)
	case <-ending:
	}
	backend.draining.Store(true)
	time.Sleep(drain)
	limited, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := server.Shutdown(limited); err != nil {
		log.Fatal(err)
	}
}

func setting(name, standard string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return standard
}

func (b *backend) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	switch {
	case request.URL.Path == "/ready" && b.draining.Load():
		http.Error(response, "draining", http.StatusServiceUnavailable)
	case request.URL.Path == "/slow":
		wait, _ := strconv.Atoi(request.URL.Query().Get("ms"))
		select {
		case <-time.After(min(time.Duration(wait)*time.Millisecond, time.Minute)):
			b.reflect(response, request, http.StatusOK)
		case <-request.Context().Done():
		}
	case request.URL.Path == "/socket":
		b.echo(response, request)
	case strings.HasPrefix(request.URL.Path, "/status/"):
		status, err := strconv.Atoi(strings.TrimPrefix(request.URL.Path, "/status/"))
		if err != nil || status < 200 || status > 599 {
			status = http.StatusBadRequest
		}
		b.reflect(response, request, status)
	default:
		b.reflect(response, request, http.StatusOK)
	}
}

// What a server adds to a WebSocket's key before it hashes it (RFC 6455, section 1.3).
const socketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// Frames are not read: whoever asks sends what he wants to see again.
func (b *backend) echo(response http.ResponseWriter, request *http.Request) {
	if !strings.EqualFold(request.Header.Get("Upgrade"), "websocket") {
		http.Error(response, "no WebSocket", http.StatusUpgradeRequired)
		return
	}
	connection, buffered, err := http.NewResponseController(response).Hijack()
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	defer connection.Close()
	sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + socketGUID))
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
	if _, err := io.WriteString(connection, head); err != nil {
		return
	}
	// It ends when either side does, which is no failure.
	_, _ = io.Copy(connection, buffered)
}

func (b *backend) reflect(response http.ResponseWriter, request *http.Request, status int) {
	length, err := io.Copy(io.Discard, request.Body)
	if err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	headers := make(map[string]string, len(request.Header))
	for name, values := range request.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(status)
	// The peer is gone if this fails: there is nobody to tell.
	_ = json.NewEncoder(response).Encode(answer{
		Pod: b.pod, Version: b.version,
		Method: request.Method, Path: request.URL.Path, Query: request.URL.RawQuery,
		Host: request.Host, Peer: request.RemoteAddr, Headers: headers, Body: length,
	})
}
