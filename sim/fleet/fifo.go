package fleet

// A fifo is a queue of members.
type fifo struct {
	list []*member
	head int
}

func (q *fifo) len() int { return len(q.list) - q.head }

func (q *fifo) push(m *member) { q.list = append(q.list, m) }

// pop removes the first member. There must be one.
func (q *fifo) pop() *member {
	m := q.list[q.head]
	q.list[q.head] = nil
	q.head++
	if q.head == len(q.list) {
		q.list, q.head = q.list[:0], 0
	}
	return m
}
