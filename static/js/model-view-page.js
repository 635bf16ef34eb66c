// The page of its own that shows what the model sees.

import { modelView } from "./model-view.js";

modelView();
