#include "progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace {

int terminal_columns() {
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 80;
}

}  // namespace

ProgressBar::~ProgressBar() {
    if (settings.live) fmt::print("\n");
}

void ProgressBar::draw(int done) const {
    if (!settings.live) return;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start_;
    const std::string figures =
        fmt::format(" {}/{} {:.1f} s", done, settings.tasks, elapsed.count());
    const int room = terminal_columns() - static_cast<int>(figures.size()) - 1;
    const int width = std::clamp(room, 0, 40);
    const int full = width * done / settings.tasks;
    // The whole line in one write over the old one: nothing flickers.
    fmt::print("\r{:#<{}}{:.<{}}{}\033[K", "", full, "", width - full, figures);
    std::fflush(stdout);
}
