package view

import (
	"time"

	tea "charm.land/bubbletea/v2"
)

// A model is the whole screen as the library wants it: what it shows is drawn anew
// a few times a second.
type model struct {
	view          *View
	width, height int
}

// refresh is how often the screen is drawn.
const refresh = 250 * time.Millisecond

type refreshMsg struct{}

func tick() tea.Cmd {
	return tea.Tick(refresh, func(time.Time) tea.Msg { return refreshMsg{} })
}

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return tick() }

// Update implements tea.Model.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case refreshMsg:
		return m, tick()
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		if msg.String() == "ctrl+c" && m.view.interrupt() {
			go m.view.leave()
		}
	}
	return m, nil
}

// View implements tea.Model.
func (m model) View() tea.View {
	v := tea.NewView("")
	v.AltScreen = true
	v.WindowTitle = "muster fleet"
	if m.width > 0 {
		v.SetContent(m.view.draw(m.width, m.height))
	}
	return v
}

// leave gives the terminal back and leaves at once.
func (v *View) leave() {
	v.Close()
	if v.o.Leave != nil {
		v.o.Leave()
	}
}
