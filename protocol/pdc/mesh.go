package pdc

import "github.com/muster/muster/protocol/coap"

// A Mesh is a message about a mesh network, which Gen 3 devices sent from
// 0.8.0-rc.25 to 1.5 (PDC-8.7). It is recognised so that it can be answered
// with 2.04; its content has no meaning any more and is kept as it came.
type Mesh struct {
	Token   []byte
	Path    []string // segments behind the first: "n" and the network's id
	Query   string   // "j=0", "j=1", "br=0", "br=1" or nothing
	Payload []byte
}

// ParseMesh reads a Mesh.
func ParseMesh(m coap.Message) (Mesh, error) {
	if err := check(KindMesh, m); err != nil {
		return Mesh{}, err
	}
	mesh := Mesh{Token: m.Token, Payload: m.Payload}
	first := true
	for _, o := range m.Options {
		if o.ID != coap.URIPath {
			continue
		}
		if !first {
			mesh.Path = append(mesh.Path, string(o.Value))
		}
		first = false
	}
	q, _ := m.Query(0)
	mesh.Query = string(q)
	return mesh, nil
}

// Message returns the message of a device.
func (h Mesh) Message(Dialect) coap.Message {
	m := request(coap.Confirmable, coap.PUT, "m", h.Token)
	for _, segment := range h.Path {
		m.Options = append(m.Options, coap.Text(coap.URIPath, segment))
	}
	if h.Query != "" {
		m.Options = append(m.Options, coap.Text(coap.URIQuery, h.Query))
	}
	m.Payload = h.Payload
	return m
}
