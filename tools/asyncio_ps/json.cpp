#include <cstdio>

#include "graph.hpp"

namespace asyncio_ps {

namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            out += escape;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string id_text(Address id) {
    char text[24];
    std::snprintf(text, sizeof text, "\"0x%llx\"", static_cast<unsigned long long>(id));
    return text;
}

std::string number(std::optional<double> value) {
    if (!value) return "null";
    char text[40];
    std::snprintf(text, sizeof text, "%.6f", *value);
    return text;
}

template <class Range, class F>
std::string list(const Range& range, F f) {
    std::string text = "[";
    for (const auto& item : range) text += (text.size() == 1 ? "" : ", ") + f(item);
    return text + "]";
}

std::string place(const Place& place) {
    if (place.file.empty()) return "null";
    return "{\"function\": " + quoted(place.function) + ", \"file\": " + quoted(place.file) +
           ", \"line\": " + std::to_string(place.line) + "}";
}

std::string future(const Node& node) {
    return "{\"id\": " + id_text(node.id) + ", \"kind\": " + quoted(node.name) +
           ", \"awaited_by\": " + list(node.awaited_by, id_text) + "}";
}

std::string task(const Node& node) {
    return "{\"id\": " + id_text(node.id) + ", \"name\": " + quoted(node.name) +
           ", \"state\": " + quoted(name_of(node.state)) +
           ", \"cancelling\": " + std::to_string(node.cancel_requests) +
           ", \"seconds\": " + number(node.seconds) + ", \"waits_for\": " + quoted(node.waits_for) +
           ", \"wakes_in\": " + number(node.wakes_in) + ", \"created\": " + place(node.created) +
           ", \"stack\": " + list(node.stack, place) +
           ", \"frames_left_out\": " + std::to_string(node.frames_left_out) +
           ", \"awaited_by\": " + list(node.awaited_by, id_text) + "}";
}

}  // namespace

std::string json_text(const Snapshot& snapshot) {
    std::vector<Node> futures;
    for (const auto& [id, node] : snapshot.nodes) {
        if (!node.is_task) futures.push_back(node);
    }
    const auto loop = [&](const Loop& loop) {
        return "{\"id\": " + id_text(loop.id) + ", \"thread\": " + std::to_string(loop.tid) +
               ", \"thread_name\": " + quoted(loop.thread) +
               ", \"complete\": " + (loop.complete ? "true" : "false") + ", \"tasks\": " +
               list(loop.tasks, [&](Address id) { return "\n  " + task(snapshot.nodes.at(id)); }) +
               "}";
    };
    return "{\"pid\": " + std::to_string(snapshot.pid) +
           ", \"loops\": " + list(snapshot.loops, loop) +
           ", \"futures\": " + list(futures, future) + ", \"cycles\": " +
           list(find_cycles(snapshot), [](const Cycle& cycle) { return list(cycle, id_text); }) +
           "}\n";
}

}  // namespace asyncio_ps
