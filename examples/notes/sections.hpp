// notes/sections.hpp - the page's sections around its example.
#pragma once

void low_level_methods();
void awaitables();
void high_level_methods();
void asynchronous_iteration();
void queues();
