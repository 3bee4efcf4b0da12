package simfleet

import "net/http"

func (c *Cluster) serveOpenAPI(w http.ResponseWriter, _ string) { notFound(w) }
