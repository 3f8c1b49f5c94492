SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  // Nothing is asked of anybody else: without this, a badge of swagger.io's.
  validatorUrl: null,
});
