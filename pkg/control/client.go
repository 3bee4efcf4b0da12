package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Client asks the controller of a state folder.
type Client struct {
	http    *http.Client
	release func()
}

// Dial connects to the controller of a state folder; ErrNotRunning where none listens.
func Dial(ctx context.Context, dir string) (*Client, error) {
	address, release, err := socketAddress(dir, SocketName)
	if err != nil {
		return nil, notRunning(dir, err)
	}
	dial := func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "unix", address) }
	probe, err := dial(ctx)
	if err != nil {
		release()
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, notRunning(dir, err)
	}
	if err := probe.Close(); err != nil {
		release()
		return nil, fmt.Errorf("close a connection to the controller: %w", err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	return &Client{http: &http.Client{Transport: transport}, release: release}, nil
}

// Close ends the connections.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.release()
}

// Get asks for what is at a path such as "/v1/orders" and reads the JSON answer into answer.
func (c *Client) Get(ctx context.Context, path string, answer any) error {
	return c.do(ctx, http.MethodGet, path, nil, answer)
}

// Post sends a request as JSON and reads the answer into answer; nil: it is not of interest.
func (c *Client) Post(ctx context.Context, path string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, body, answer)
}

// Copy writes what is at a path to w as it is.
func (c *Client) Copy(ctx context.Context, path string, w io.Writer) error {
	response, err := c.send(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(w, io.LimitReader(response.Body, maxAnswer)); err != nil {
		return fmt.Errorf("read the controller's answer: %w", err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, answer any) error {
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("read the controller's answer: %w", err)
	}
	return nil
}

// send returns the answer to a request that succeeded.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://controller"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the controller: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the controller: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	return nil, answerError(response, path)
}

// answerError reads why a controller refused. A path that it does not know is one of another release.
func answerError(response *http.Response, path string) error {
	var p problem
	if err := json.NewDecoder(io.LimitReader(response.Body, maxRequest)).Decode(&p); err != nil || p.Error == "" {
		p.Error = fmt.Sprintf("the controller answers %q to %s: is it of another version?", response.Status, path)
	}
	return &AnswerError{Status: response.StatusCode, Message: p.Error}
}
