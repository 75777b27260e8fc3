package clock

// A Queue holds things until their time has come. They leave it in the order of
// their times, and in the order in which they came when these are equal, so that
// a run repeats. The zero Queue is empty and ready to use; it has no bound, which
// is for its owner to set.
type Queue[T any] struct {
	waiting []waiting[T] // a binary heap
	came    uint64       // how many ever came
}

type waiting[T any] struct {
	at    Instant
	order uint64
	thing T
}

func (w *waiting[T]) before(v *waiting[T]) bool {
	return w.at < v.at || w.at == v.at && w.order < v.order
}

// Len returns how many things wait.
func (q *Queue[T]) Len() int { return len(q.waiting) }

// Next returns the time of the first thing, [Never] when none waits.
func (q *Queue[T]) Next() Instant {
	if len(q.waiting) == 0 {
		return Never
	}
	return q.waiting[0].at
}

// Push has a thing wait until a time.
func (q *Queue[T]) Push(at Instant, thing T) {
	q.came++
	q.waiting = append(q.waiting, waiting[T]{at, q.came, thing})
	for i := len(q.waiting) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.waiting[i].before(&q.waiting[parent]) {
			break
		}
		q.waiting[i], q.waiting[parent] = q.waiting[parent], q.waiting[i]
		i = parent
	}
}

// Pop takes the first thing out. There must be one.
func (q *Queue[T]) Pop() T {
	first, last := q.waiting[0].thing, len(q.waiting)-1
	q.waiting[0] = q.waiting[last]
	q.waiting[last] = waiting[T]{} // let go of what it points to
	q.waiting = q.waiting[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.waiting[child].before(&q.waiting[least]) {
				least = child
			}
		}
		if least == i {
			return first
		}
		q.waiting[i], q.waiting[least] = q.waiting[least], q.waiting[i]
		i = least
	}
}
